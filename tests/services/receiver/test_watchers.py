import asyncio

import pytest

from panolink.services.receiver.watchers import Shown, Viewers
from panolink.v1 import receiver_pb2


def shown(number: int) -> Shown:
    return Shown(receiver_pb2.ReceivedPanoramaHeader(number=number), b"")


async def test_newest_drops_the_oldest_and_counts() -> None:
    drops: list[int] = []
    viewers = Viewers("newest", size=2, on_drop=lambda: drops.append(1))
    with viewers.join() as viewer:
        for number in range(5):
            await viewers.publish(shown(number))
        assert [viewer.queue.get_nowait().header.number for _ in range(2)] == [3, 4]
        assert viewer.dropped == len(drops) == 3
    assert len(viewers) == 0


async def test_block_waits_for_room() -> None:
    viewers = Viewers("block", size=1, on_drop=lambda: pytest.fail("nothing may be dropped"))
    with viewers.join() as viewer:
        await viewers.publish(shown(1))
        waiting = asyncio.create_task(viewers.publish(shown(2)))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert (await viewer.queue.get()).header.number == 1
        await asyncio.wait_for(waiting, 1)
        assert viewers.waiting == 1


async def test_a_viewer_who_leaves_blocks_nobody() -> None:
    viewers = Viewers("block", size=1, on_drop=lambda: None)
    with viewers.join():
        await viewers.publish(shown(1))
        waiting = asyncio.create_task(viewers.publish(shown(2)))
        await asyncio.sleep(0.01)
    await asyncio.wait_for(waiting, 1)
