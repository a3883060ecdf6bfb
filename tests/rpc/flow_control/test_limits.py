import pytest

from panolink.errors import LimitError
from panolink.rpc.flow_control.limits import CHUNK_BYTES, MAX_MESSAGE_BYTES, Limits, SlotAllocator, check_limit


def test_a_limit_may_be_reached_and_not_passed() -> None:
    check_limit(7, 7, "segments")
    with pytest.raises(LimitError, match=r"^segments: 8, at most 7 are allowed$"):
        check_limit(8, 7, "segments")


def test_a_chunk_fits_a_message_with_its_frame() -> None:
    assert CHUNK_BYTES < MAX_MESSAGE_BYTES / 2
    assert Limits(segments=3).segments == 3 and Limits().segments > 3


def test_slots_are_the_lowest_that_are_free() -> None:
    slots = SlotAllocator()
    assert [slots.acquire() for _ in range(3)] == [0, 1, 2]
    slots.release(1)
    slots.release(1)  # twice does no harm
    assert [slots.acquire() for _ in range(2)] == [1, 3]
