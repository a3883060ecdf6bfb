import asyncio

from panolink.services.receiver.stream_order import StreamOrder


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_stream_s_pictures_are_unpacked_and_shown_in_order() -> None:
    order, done = StreamOrder(), []

    async def picture(name: str, turn) -> None:
        await turn.to_unpack()
        done.append(f"unpack {name}")
        turn.unpacked()
        await turn.to_show()
        done.append(f"show {name}")
        turn.end()

    turns = [order.begin("a") for _ in range(3)]
    later = [asyncio.create_task(picture(str(number), turns[number])) for number in (2, 1)]
    await settled()
    assert done == [] and len(order) == 1
    await turns[0].to_unpack()
    turns[0].unpacked()
    await settled()
    assert done == ["unpack 1", "unpack 2"], "decoding need not be waited for"
    turns[0].end()
    await asyncio.gather(*later)
    assert done[2:] == ["show 1", "show 2"] and len(order) == 0


async def test_who_leaves_holds_up_nobody_and_lets_nobody_go_before_others() -> None:
    order = StreamOrder()
    first, leaves, last = (order.begin("a") for _ in range(3))
    leaves.end()
    waiting = asyncio.create_task(last.to_unpack())
    await settled()
    assert not waiting.done(), "the first one is still to come"
    first.end()
    await waiting
    last.end()
    last.end()
    assert last.ended and len(order) == 0


async def test_other_streams_and_none_wait_for_nobody() -> None:
    order = StreamOrder()
    order.begin("a")
    for stream in ("b", "", ""):
        turn = order.begin(stream)
        await turn.to_unpack()
        await turn.to_show()


async def test_an_earlier_picture_goes_before_later_ones_that_have_not_begun() -> None:
    order, done = StreamOrder(), []

    async def picture(turn) -> None:
        await turn.to_unpack()
        done.append(turn.sequence)
        turn.unpacked()
        await turn.to_show()
        turn.end()

    four = order.begin("a", 4)
    await four.to_unpack()
    waiting = [asyncio.create_task(picture(order.begin("a", 6)))]
    await settled()
    waiting += [asyncio.create_task(picture(order.begin("a", sequence))) for sequence in (5, 3, 0, 1)]
    four.unpacked()
    four.end()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert done == [3, 5, 6, 0, 1], "and one without a place stays where it is"
