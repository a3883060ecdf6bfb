"""Networks in bands of rows give what they give at once: to the bit in bfloat16, to the last bits in float32."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from panolink.codec.networks.row_bands import RowQueue, by_rows
from tests.codec.networks.random_networks import SMALL, scrambled

BANDS = {"ones": [1] * 9, "uneven": [1, 3, 2, 1, 2], "two": [5, 4], "all at once": [9]}
"""rows of tokens, nine in all"""


def edges(bands: list[int]) -> list[tuple[int, int, bool]]:
    """First row of each band, the row after its last, and whether it is the last band."""
    ends = list(itertools.accumulate(bands))
    return [(end - rows, end, end == ends[-1]) for rows, end in zip(bands, ends, strict=True)]


def joined(parts: list[Tensor | None]) -> Tensor:
    return torch.cat([part for part in parts if part is not None], dim=-2)


def assert_same(result: Tensor, whole: Tensor, dtype: torch.dtype) -> None:
    """In float32, oneDNN adds up the products of a convolution in another order for some shapes."""
    if dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert torch.equal(result, whole)
    else:
        assert (result - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bands", BANDS.values(), ids=BANDS)
@pytest.mark.parametrize("family", SMALL)
@torch.inference_mode()
def test_bands_give_the_same(family: str, bands: list[int], dtype: torch.dtype) -> None:
    network = scrambled(SMALL[family]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = (torch.rand(1, 3, 144, 96) * 255).contiguous(memory_format=torch.channels_last)
    features, guidance = torch.randn(1, 6, 9, 7), torch.rand(1, 3, 9, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        step = network.encoder.by_rows()  # type: ignore[operator]
        parts = [step(pixels[..., 16 * a : 16 * b, :], last) for a, b, last in edges(bands)]
        assert_same(joined(parts), network.encoder(pixels), dtype)
        step = network.decoder.by_rows()  # type: ignore[operator]
        parts = [step(features[..., a:b, :], guidance[..., a:b, :], last) for a, b, last in edges(bands)]
        assert_same(joined(parts), network.decoder(features, guidance), dtype)


@torch.inference_mode()
def test_a_network_keeps_no_more_than_the_rows_that_it_needs() -> None:
    """Of its decoder, that is 1/16 to 1/2 of the resolution: what is kept is a few rows of each."""
    decoder, kept = scrambled(SMALL["base"]).decoder, []
    step = decoder.by_rows()  # type: ignore[operator]
    for row in range(40):
        pixels = step(torch.randn(1, 6, 1, 8), torch.rand(1, 3, 1, 8), row == 39)
        kept.append(0 if pixels is None else pixels.shape[-2])
    assert 0 < 16 * 40 - sum(kept[:-1]) <= 16 * 12
    assert sum(kept) == 16 * 40 and set(kept[12:-1]) == {16}


def test_rows_are_taken_as_they_were_put() -> None:
    queue, rows = RowQueue(), torch.arange(12.0).view(1, 1, 6, 2)
    queue.put(rows[..., :1, :])
    queue.put(rows[..., 1:5, :])
    first = queue.take(3)
    queue.put(rows[..., 5:, :])
    assert torch.equal(torch.cat([first, queue.take(3)], dim=-2), rows)


def test_what_needs_all_rows_is_refused() -> None:
    with pytest.raises(TypeError, match="AdaptiveAvgPool2d does not run in bands of rows"):
        by_rows(nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1)))
