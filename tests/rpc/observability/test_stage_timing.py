"""Durations of stages."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from panolink.rpc.observability.stage_timing import STAGES, in_order, in_thread, timed


def test_durations_are_sorted_by_stage_and_unknown_ones_come_last() -> None:
    seconds = {"zeta": 1.0, "total": 2.0, "alpha": 3.0, "decode_image": 4.0}
    assert list(in_order(seconds)) == ["decode_image", "total", "alpha", "zeta"]
    assert list(in_order(dict.fromkeys(reversed(STAGES), 0.0))) == list(STAGES)


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
