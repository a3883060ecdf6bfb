"""Durations of stages."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from panolink.rpc.observability.stage_timing import in_thread, timed


def test_blocks_of_one_stage_add_up() -> None:
    seconds = {"encode": 10.0}
    with timed(seconds, "encode"):
        pass
    assert 10.0 <= seconds["encode"] < 11.0


async def test_a_thread_sees_the_context_of_its_caller() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")
    variable.set("caller")
    with ThreadPoolExecutor(1) as executor:
        assert await in_thread(executor, variable.get) == "caller"
