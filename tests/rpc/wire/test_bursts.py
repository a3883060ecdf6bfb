from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from panolink.errors import BitstreamError, LimitError, PanolinkError, SignalError
from panolink.rpc.flow_control.limits import MAX_MESSAGE_BYTES, Limits
from panolink.rpc.wire.bursts import Burst, admit_burst, burst_from_frame, burst_messages
from panolink.rpc.wire.framing import Frame, frames
from panolink.v1 import link_pb2

MakeBurst = Callable[..., Burst]


async def crossed(burst: Burst) -> Burst:
    """A burst after its way through messages."""

    async def stream() -> Any:
        for message in burst_messages(burst):
            assert message.ByteSize() <= MAX_MESSAGE_BYTES
            yield link_pb2.Burst.FromString(message.SerializeToString())

    (frame,) = [frame async for frame in frames(stream(), lambda header: admit_burst(header, Limits()))]
    assert isinstance(frame, Frame)
    assert frame.error is None
    return burst_from_frame(frame)


async def test_float_samples_cross_unchanged(burst: MakeBurst) -> None:
    sent = burst(symbols=100_000)
    received = await crossed(sent)
    np.testing.assert_array_equal(received.symbols, sent.symbols)
    np.testing.assert_array_equal(received.csi, sent.csi)
    assert received.header.burst_id == "1"


async def test_integer_samples_use_their_whole_range(burst: MakeBurst) -> None:
    sent = burst(sample_format=link_pb2.SAMPLE_FORMAT_CI16_LE)
    received = await crossed(sent)
    peak = np.abs(sent.symbols.view(np.float32)).max()
    assert np.abs(received.symbols - sent.symbols).max() <= peak / 32767
    assert received.header.sample_scale == pytest.approx(32767 / peak)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"burst_id": ""}, BitstreamError),
        ({"burst_id": "x" * 65}, BitstreamError),
        ({"source": "x" * 257}, BitstreamError),
        ({"symbols": 1 << 40}, LimitError),
        ({"symbols": 0}, BitstreamError),
        ({"segments": [link_pb2.SegmentFormat(payload_bytes=1 << 20)]}, LimitError),
        ({"sample_format": link_pb2.SAMPLE_FORMAT_UNSPECIFIED}, BitstreamError),
        ({"sample_scale": float("nan")}, SignalError),
        ({"channel_state": link_pb2.ChannelState()}, SignalError),
        ({"channel_state": link_pb2.ChannelState(coefficients=2, coherence_symbols=1000)}, SignalError),
        (
            {"channel_state": link_pb2.ChannelState(coefficients=1, coherence_symbols=1000, noise_variance=-1)},
            SignalError,
        ),
    ],
)
def test_headers_that_cannot_be_right_are_refused(
    burst: MakeBurst, change: dict[str, Any], error: type[PanolinkError]
) -> None:
    header = burst().header
    for name in change:
        header.ClearField(name)  # type: ignore[arg-type]
    header.MergeFrom(link_pb2.BurstHeader(**change))
    with pytest.raises(error):
        admit_burst(header, Limits())
