import asyncio

import pytest

from panolink.picture_format import PictureFormat
from panolink.services.receiver.watchers import WatchedPanorama, Watchers, Wish
from panolink.v1 import receiver_pb2


def shown(number: int) -> WatchedPanorama:
    return WatchedPanorama(receiver_pb2.ReceivedPanoramaHeader(number=number), b"")


async def test_newest_drops_the_oldest_and_counts() -> None:
    drops: list[int] = []
    watchers = Watchers("newest", size=2, on_drop=lambda: drops.append(1))
    with watchers.join() as watcher:
        for number in range(5):
            await watchers.publish(shown(number))
        assert [watcher.queue.get_nowait().header.number for _ in range(2)] == [3, 4]
        assert watcher.dropped == len(drops) == 3
    assert len(watchers) == 0


async def test_block_waits_for_room() -> None:
    watchers = Watchers("block", size=1, on_drop=lambda: pytest.fail("nothing may be dropped"))
    with watchers.join() as watcher:
        await watchers.publish(shown(1))
        waiting = asyncio.create_task(watchers.publish(shown(2)))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert (await watcher.queue.get()).header.number == 1
        await asyncio.wait_for(waiting, 1)
        assert watchers.waiting == 1


async def test_a_viewer_who_leaves_blocks_nobody() -> None:
    watchers = Watchers("block", size=1, on_drop=lambda: None)
    with watchers.join():
        await watchers.publish(shown(1))
        waiting = asyncio.create_task(watchers.publish(shown(2)))
        await asyncio.sleep(0.01)
    await asyncio.wait_for(waiting, 1)


async def test_each_is_given_what_it_asked_for() -> None:
    watchers = Watchers("newest", size=1, on_drop=lambda: pytest.fail("nothing may be dropped"))
    raws, sharps = Wish(PictureFormat.RGB8), Wish(realism=1.0)
    with watchers.join() as plain, watchers.join(raws) as raw, watchers.join(sharps) as sharp:
        assert watchers.wishes == {Wish(), raws, sharps}
        await watchers.publish(shown(1))
        await watchers.publish(shown(2), [raws, sharps])
        assert [one.queue.get_nowait().header.number for one in (plain, raw, sharp)] == [1, 2, 2]
    assert not watchers.wishes


def large(number: int, kind: bytes = b"x") -> WatchedPanorama:
    return WatchedPanorama(receiver_pb2.ReceivedPanoramaHeader(number=number), kind * 100)


async def test_what_waits_for_all_is_bounded_in_bytes_and_each_keeps_the_newest() -> None:
    """Viewers who ask for a format each and read nothing would have a queue of each held."""
    watchers = Watchers("newest", size=4, limit_bytes=500, on_drop=lambda: None)
    raws = Wish(PictureFormat.RGB8)
    with watchers.join() as one, watchers.join() as same, watchers.join(raws) as other:
        for number in range(6):
            await watchers.publish(large(number))
            await watchers.publish(large(number, b"y"), [raws])
            assert watchers.bytes <= 500
        assert watchers.bytes >= 400, "what two wait for counts once"
        assert one.queue.items[-1].header.number == same.queue.items[-1].header.number == 5
        assert other.queue.items[-1].header.number == 5 and other.dropped
    watchers = Watchers("newest", size=4, limit_bytes=1, on_drop=lambda: None)
    with watchers.join() as one:
        for number in range(3):
            await watchers.publish(large(number))
        assert [panorama.header.number for panorama in one.queue.items] == [2]


async def test_block_waits_for_bytes_too() -> None:
    watchers = Watchers("block", size=4, limit_bytes=250, on_drop=lambda: pytest.fail("nothing may be dropped"))
    with watchers.join() as watcher:
        for number in (1, 2):
            await watchers.publish(large(number))
        waiting = asyncio.create_task(watchers.publish(large(3)))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert (await watcher.queue.get()).header.number == 1
        await asyncio.wait_for(waiting, 10)
        waiting = asyncio.create_task(watchers.publish(large(4)))
        await asyncio.sleep(0.01)
    await asyncio.wait_for(waiting, 10)  # who leaves blocks nobody
