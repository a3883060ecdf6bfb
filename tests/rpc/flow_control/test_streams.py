"""Which streams may come, which have to go, and how a service ends them: on streams without any gRPC behind."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from panolink.errors import LimitError, LinkError
from panolink.rpc.flow_control import streams as module
from panolink.rpc.flow_control.streams import OpenStream, Streams, current_stream


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass."""
    now = [time.monotonic()]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


def test_a_stream_is_idle_while_its_peer_owes_nothing(clock: Callable[[float], None]) -> None:
    stream = OpenStream("ipv4:10.0.0.7")
    clock(3)
    assert stream.idle_seconds == stream.unused_seconds == 3 and stream.stalled_seconds == 0
    stream.progress(receiving=True)
    clock(4)
    assert stream.idle_seconds == 0 and stream.stalled_seconds == stream.unused_seconds == 4
    with stream.item():
        clock(5)
        assert stream.idle_seconds == stream.stalled_seconds == 0, "it waits for us"
    with stream.waits_for_us():
        clock(5)
        assert stream.idle_seconds == stream.stalled_seconds == 0, "there is no memory for the rest of an item"
    stream.progress(receiving=False)
    with stream.write():
        clock(6)
        assert stream.stalled_seconds == 6, "it does not read"
    with stream.waits_for_us():
        clock(7)
        assert stream.idle_seconds == 0
    assert stream.idle_seconds == 0


def test_a_place_that_is_used_does_not_give_way(clock: Callable[[float], None]) -> None:
    stream = OpenStream()
    assert not stream.may_give_way
    clock(module.IDLE_GRACE_SECONDS)
    assert stream.may_give_way
    stream.progress(receiving=True)
    clock(module.STALL_GRACE_SECONDS - 0.1)
    assert not stream.may_give_way
    clock(0.2)
    assert stream.may_give_way
    stream.end(LinkError("enough"))
    assert not stream.may_give_way, "it gives way already"


def test_streams_in_use_keep_others_out(clock: Callable[[float], None]) -> None:
    streams = Streams("link", limit=2)
    with ExitStack() as open_ones:
        first, second = (open_ones.enter_context(streams.enter(f"ipv4:10.0.0.{n}:1")) for n in (1, 2))
        assert first.refusal is second.refusal is None and len(streams) == 2
        with streams.enter("ipv4:10.0.0.3:1") as third:
            assert isinstance(third.refusal, LimitError) and "link: all 2 streams are in use" in str(third.refusal)
        assert len(streams) == 2
    assert len(streams) == 0


def test_the_one_that_is_unused_for_longest_gives_way(clock: Callable[[float], None]) -> None:
    streams = Streams("link", limit=2)
    with ExitStack() as open_ones:
        first = open_ones.enter_context(streams.enter())
        clock(10)
        second = open_ones.enter_context(streams.enter())
        clock(1)
        third = open_ones.enter_context(streams.enter())
        assert third.refusal is None and len(streams) == 2
        clock(1)
        assert second.may_give_way and not first.may_give_way, "the first one has had to go"


def test_a_host_has_its_share(clock: Callable[[float], None]) -> None:
    streams = Streams("link", limit=9, peer_limit=1)
    with streams.enter("ipv4:10.0.0.1:4711") as one, streams.enter("ipv4:10.0.0.1:4712") as again:
        assert one.refusal is None
        assert "all 1 streams of this host are in use" in str(again.refusal)
        with streams.enter("ipv4:10.0.0.2:4711") as other:
            assert other.refusal is None


async def test_a_stream_serves_its_task_and_is_ended_with_a_reason() -> None:
    streams = Streams("link", limit=1, idle_seconds=0.05)

    async def serve() -> None:
        with streams.enter() as stream:
            assert current_stream.get() is stream
            await asyncio.sleep(30)

    task = asyncio.create_task(serve())
    with pytest.raises(asyncio.CancelledError) as ended:
        await task
    assert str(ended.value.args[0]) == "link: nothing was sent for 0.05 s"
    assert len(streams) == 0 and current_stream.get() is None


async def test_draining_refuses_and_waits() -> None:
    streams = Streams("link", limit=2)
    with streams.enter():
        assert not await streams.drain(0.01)
        assert streams.draining.is_set()
        with streams.enter() as late:
            assert isinstance(late.refusal, LinkError) and "shutting down" in str(late.refusal)
    assert await streams.drain(0.01)
