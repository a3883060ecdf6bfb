import numpy as np
import pytest
import torch

from panolink.training.codebook_ema import CodebookAverager, k_means


def test_code_lengths_follow_what_is_sent():
    averager = CodebookAverager(2, 2, decay=0.5)
    classes = torch.full((5000, 1), 20)
    for _ in range(30):
        ones = (torch.arange(5000)[:, None] % 4 == 0).float()
        averager.count_symbols(torch.cat([classes, classes]), torch.cat([ones, 0 * ones]), torch.arange(10000) < 5000)
    lengths = averager.code_lengths()
    assert lengths[20, 0] == pytest.approx(np.log2(4 / 3), abs=0.02)
    assert lengths[20, 1] == pytest.approx(np.log2(4) + 1, abs=0.02)
    assert lengths[20, -1] == pytest.approx(18 + 1 + 16, abs=0.1)  # never seen: an escape has a sign, too
    assert (lengths[0] == 0).all()


def test_codebook_moves_to_the_mean_and_dead_codes_revive():
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 10.0], [10.0, 0.0]])
    tokens = centres.repeat(200, 1) + 0.1 * torch.randn(400, 2)
    assert torch.cdist(k_means(tokens, 2), centres).min(dim=1).values.max() < 0.1
    codebook = torch.tensor([[1.0, 9.0], [9.0, 1.0], [99.0, 99.0]])
    averager = CodebookAverager(3, 2, decay=0.5)
    for _ in range(20):
        indices = torch.cdist(tokens, codebook).argmin(dim=1)
        averager.update(tokens, indices, codebook, torch.ones(400))
    torch.testing.assert_close(codebook[:2], centres, atol=0.1, rtol=0)
    torch.testing.assert_close(averager.scales(torch.tensor([0]))[0], torch.full((2,), 0.08), atol=0.02, rtol=0)
    assert averager.replace_dead(tokens, codebook) == 1
    assert codebook[2].abs().max() < 20
    torch.testing.assert_close(averager.scales(torch.tensor([2]))[0], torch.full((2,), 0.08), atol=0.02, rtol=0)


def test_codes_that_revive_have_the_usual_scales_however_many_they_are():
    """Of tokens that count a tenth, as those do that are not sent."""
    torch.manual_seed(0)
    tokens, codebook = torch.randn(400, 2), torch.cat([torch.zeros(1, 2), torch.full((3, 2), 99.0)])
    averager = CodebookAverager(4, 2, decay=0.5)
    for _ in range(20):
        averager.update(tokens, torch.zeros(400, dtype=torch.int64), codebook, torch.full((400,), 0.1))
    before = averager.usual_scales()
    assert averager.replace_dead(tokens, codebook) == 3
    torch.testing.assert_close(averager.usual_scales(), before)
    torch.testing.assert_close(
        averager.scales(torch.tensor([3]))[0], averager.scales(torch.tensor([0]))[0], rtol=0.01, atol=0
    )
