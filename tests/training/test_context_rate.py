"""The price of bits knows a token's neighbours, in the codec's order."""

import numpy as np
import pytest
import torch

from panolink.codec.entropy.feature_context import first_half, neighbour_codes, neighbour_values
from panolink.codec.entropy.index_context import bands_of
from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.sphere.latitude import latitudes
from panolink.training.codebook_ema import CodebookAverager
from panolink.training.context_rate import ContextRate
from panolink.training.soft_quantization import code_batch

CODES, DIM, ROWS, COLS = 6, 4, 4, 8


@pytest.fixture
def context() -> ContextRate:
    torch.manual_seed(0)
    return ContextRate(torch.randn(CODES, DIM))


def test_it_sees_what_the_codec_sees(context: ContextRate):
    """Neighbours, bands and units of `FeatureContextModel`, which wraps columns and has nothing beyond the poles."""
    indices = torch.randint(CODES, (1, ROWS, COLS))
    known = torch.randint(-3, 4, (1, DIM, ROWS, COLS)).float()
    shifts, log_odds = context(indices, latitudes(ROWS)[None], known, wrap=True)
    cells = np.arange(ROWS * COLS)
    codes = neighbour_codes(indices[0].numpy(), cells, CODES, whole=True)
    values = neighbour_values(known[0].permute(1, 2, 0).numpy().astype(np.int8), cells)
    bands = torch.from_numpy(bands_of(ROWS)[cells // COLS])
    expected = context.network(torch.from_numpy(codes).long(), torch.from_numpy(values).float(), bands)
    torch.testing.assert_close(shifts[0].permute(1, 2, 0).flatten(0, 1), 4 * expected[0])
    torch.testing.assert_close(log_odds[0].permute(1, 2, 0).flatten(0, 1), expected[1])


def test_a_crop_has_nothing_beyond_its_edges(context: ContextRate):
    indices = torch.randint(CODES, (1, ROWS, COLS))
    known, latitude = torch.zeros(1, DIM, ROWS, COLS), torch.zeros(1, ROWS)
    changed = indices.clone()
    changed[..., -1] = (changed[..., -1] + 1) % CODES
    for wrap in (False, True):
        one, other = (context(grid, latitude, known, wrap=wrap)[0] for grid in (indices, changed))
        assert torch.equal(one[..., 0], other[..., 0]) != wrap


def test_only_the_first_half_is_known_to_the_second(small_profiles, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"]).train()
    averager, context = CodebookAverager(*model.codebook.shape), ContextRate(model.codebook)
    seen: list[torch.Tensor] = []
    forward = ContextRate.forward

    def watched(self, indices, latitude, known, *, wrap):
        seen.append(known)
        return forward(self, indices, latitude, known, wrap=wrap)

    monkeypatch.setattr(ContextRate, "forward", watched)
    features = (30 * torch.randn(2, 8, 4, 4)).requires_grad_()
    averager.spread += 10
    averager.weight += 1
    step, share = torch.zeros(2, dtype=torch.int64), -torch.ones(2)
    coded = code_batch(model, averager, features, torch.zeros(2, 4), step=step, share=share, context=context)
    first = torch.from_numpy(first_half(4, 4).reshape(4, 4))
    assert not seen[0].any() and seen[1][..., first].any() and not seen[1][..., ~first].any()
    coded.bits.sum().backward()
    assert all(parameter.grad is not None for parameter in context.parameters())
    assert features.grad is not None and features.grad.abs().sum() > 0


def test_bits_fall_where_neighbours_tell(small_profiles):
    """Regions that differ from their codes by much or by nothing: learned, a token's neighbours tell which."""
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"]).train()
    model.codebook.copy_(torch.randn_like(model.codebook))
    averager, context = CodebookAverager(*model.codebook.shape), ContextRate(model.codebook)
    averager.spread += 4
    averager.weight += 1
    optimizer = torch.optim.Adam(context.parameters(), lr=3e-3)

    def bits(context: ContextRate | None, seed: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(seed)
        loud = torch.rand(8, 1, 1, 1, generator=random) < 0.5
        features = torch.where(loud, 12.0, 3.0) * torch.randn(8, 8, 8, 8, generator=random)
        step, share = torch.zeros(8, dtype=torch.int64), torch.ones(8)
        given = {"step": step, "share": share, "context": context, "learn": False}
        return code_batch(model, averager, features, torch.zeros(8, 8), **given).bits.mean()

    for seed in range(60):
        loss = bits(context, seed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        plain, known = (sum(float(bits(one, seed)) for seed in range(100, 104)) for one in (None, context))
    assert known < 0.97 * plain
