import asyncio

import pytest

from panolink.picture_format import PictureFormat
from panolink.services.receiver.watchers import WatchedPanorama, Watchers
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


async def test_each_is_given_the_format_that_it_asked_for() -> None:
    watchers = Watchers("newest", size=1, on_drop=lambda: pytest.fail("nothing may be dropped"))
    with watchers.join() as plain, watchers.join(PictureFormat.RGB8) as raw:
        assert watchers.formats == {PictureFormat.PNG, PictureFormat.RGB8}
        await watchers.publish(shown(1))
        await watchers.publish(shown(2), PictureFormat.RGB8)
        assert (plain.queue.get_nowait().header.number, raw.queue.get_nowait().header.number) == (1, 2)
    assert not watchers.formats
