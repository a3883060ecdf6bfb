import torch

from panolink.training.discriminator import PatchDiscriminator


def test_discriminator_judges_patches():
    assert PatchDiscriminator(4)(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 6, 6)
