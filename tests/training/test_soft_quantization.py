import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.training.codebook_ema import CodebookAverager, as_tokens, scale_classes
from panolink.training.laplace_prior import DEAD_ZONE
from panolink.training.soft_quantization import code_batch, lost_tokens, smooth_bits
from panolink.training.weight_average import WeightAverage


@pytest.mark.parametrize("name", ["base", "paper"])
def test_a_step_asks_for_no_value_of_a_tensor(name: str):
    """Tensors without values stand for a GPU's: where the host needs one, it would wait for the device."""
    profile = PROFILES[name]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        model = Autoencoder(profile).train()
        averager = CodebookAverager(profile.codes, profile.dim)
        features = torch.randn(2, profile.dim, 4, 4, requires_grad=True)
        latitude, step, share = torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), -torch.ones(2)
        coded = code_batch(model, averager, features, latitude, step=step, share=share, ranking=profile.ranking)
        weight = coded.pays.flatten().float()
        averager.update(as_tokens(features), coded.indices.flatten(), model.codebook, weight)
        WeightAverage(model.state_dict()).update(0.9)
        (coded.received.sum() + coded.bits.sum()).backward()


def test_smooth_bits_are_the_mean_of_code_lengths():
    """Averaged over ± 1/2 of uniform noise, the code lengths beyond the dead zone are the training's."""
    averager = CodebookAverager(2, 2)
    lengths = averager.code_lengths()
    values = torch.linspace(-4, 4, 33)
    noise = (torch.arange(2000) + 0.5) / 2000 - 0.5
    for scale in (0.25, 0.5, 2.0):
        classes = scale_classes(torch.tensor(scale))
        magnitude = torch.floor(values[:, None].abs() + noise + 1 - DEAD_ZONE).clamp_min(0).long()
        mean = lengths[classes, magnitude].mean(dim=1)
        torch.testing.assert_close(smooth_bits(values, classes.expand(33), lengths), mean, rtol=0.02, atol=0.02)


def test_single_tokens_and_whole_rows_are_lost():
    torch.manual_seed(0)
    lost = lost_tokens(torch.Size([200, 16, 16]), 0.2, device=torch.device("cpu"))
    assert lost.float().mean() == pytest.approx(0.2, abs=0.02)
    rows = lost.any(dim=2) == lost.all(dim=2)
    whole = rows.all(dim=1)
    assert 60 < whole.sum() < 140
    for panorama in lost[whole]:
        places = panorama[:, 0].nonzero().flatten()
        assert (places.diff() == 5).all() and len(places) >= 3
    assert not lost_tokens(torch.Size([4, 8, 8]), 0.0, device=torch.device("cpu")).any()
