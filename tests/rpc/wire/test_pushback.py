"""When to try again, as it is written and read."""

from typing import Any

import pytest

from panolink.errors import LimitError
from panolink.rpc.wire.pushback import MAX_PUSHBACK_SECONDS, Pushback, pushback_from_wire, pushback_to_wire


def test_what_is_written_is_read() -> None:
    wire = pushback_to_wire(LimitError("transmit: all 16 streams\nare in use"))
    assert pushback_from_wire(wire) == Pushback(1.0, "transmit: all 16 streams are in use")


@pytest.mark.parametrize("value", ["-1", "", "soon", "1.5", "١"])
def test_without_a_time_there_is_nothing_to_wait_for(value: str) -> None:
    assert pushback_from_wire((("grpc-retry-pushback-ms", value),)) is None


@pytest.mark.parametrize("metadata", [None, (), (("user-agent", "x"),)])
def test_other_streams_are_not_refused(metadata: Any) -> None:
    assert pushback_from_wire(metadata) is None


def test_nobody_is_made_to_wait_for_long_nor_shown_control_characters() -> None:
    metadata = (("grpc-retry-pushback-ms", "9" * 5000), ("panolink-refusal-bin", b"\x1b[2J\xff full"))
    got = pushback_from_wire(metadata)
    assert got is not None and got.seconds == MAX_PUSHBACK_SECONDS
    assert "\x1b" not in got.reason and got.reason.endswith("full")
