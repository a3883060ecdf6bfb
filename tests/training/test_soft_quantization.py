import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.training.codebook_ema import CodebookAverager, as_tokens
from panolink.training.soft_quantization import code_batch
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
