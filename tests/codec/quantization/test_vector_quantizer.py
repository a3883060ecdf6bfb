import pytest
import torch

from panolink.codec.quantization.vector_quantizer import CodeSearch, nearest_code


def test_nearest_code_is_the_nearest():
    torch.manual_seed(0)
    features, codebook = torch.randn(2, 5, 3, 4), torch.randn(7, 5)
    distance = (features.permute(0, 2, 3, 1)[..., None, :] - codebook).square().sum(-1)
    assert torch.equal(nearest_code(features, codebook), distance.argmin(-1))


@pytest.mark.parametrize(("dim", "codes"), [(40, 70), (43, 32), (30, 1)])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_a_search_in_two_parts_finds_the_nearest(dim: int, codes: int, spread: float):
    """Where a few dimensions have nearly all the energy, some of them not the first; far and near ones."""
    torch.manual_seed(1)
    energy = 0.75 ** torch.arange(dim)[torch.randperm(dim)]
    codebook = 20 * energy * torch.randn(codes, dim)
    features = codebook[torch.randint(codes, (2, 9, 13))] + spread * energy.sqrt() * torch.randn(2, 9, 13, dim)
    search, features = CodeSearch(codebook), features.permute(0, 3, 1, 2)
    assert 0 < len(search._leading) <= dim // 2, "else nothing is searched in two parts"
    distance = (features.permute(0, 2, 3, 1)[..., None, :].double() - codebook.double()).square().sum(-1)
    found = search(features)
    assert found.dtype == torch.int64 and torch.equal(found, distance.argmin(-1))


def test_of_equal_codes_the_first_is_taken():
    codebook = torch.zeros(80, 64)
    codebook[:, 0] = torch.arange(80).div(2, rounding_mode="floor").float() * 50
    features = torch.zeros(1, 64, 1, 40)
    features[0, 0, 0] = torch.arange(40.0) * 50 + 3
    assert CodeSearch(codebook)(features).flatten().tolist() == list(range(0, 80, 2))


def test_energy_in_all_dimensions_is_searched_as_it_is():
    torch.manual_seed(2)
    features, codebook = torch.randn(1, 12, 4, 5), torch.randn(30, 12)
    assert torch.equal(CodeSearch(codebook)(features), nearest_code(features, codebook))
