import torch

from panolink.codec.quantization.vector_quantizer import nearest_code


def test_nearest_code_is_the_nearest():
    torch.manual_seed(0)
    features, codebook = torch.randn(2, 5, 3, 4), torch.randn(7, 5)
    distance = (features.permute(0, 2, 3, 1)[..., None, :] - codebook).square().sum(-1)
    assert torch.equal(nearest_code(features, codebook), distance.argmin(-1))
