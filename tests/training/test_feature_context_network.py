import numpy as np
import torch

from panolink.codec.entropy.feature_context import CODE_NEIGHBOURS, DIFFERENCE_NEIGHBOURS
from panolink.codec.entropy.integer_network import ACTIVATION_BITS
from panolink.training.feature_context_network import CONTEXT_DIMS, FeatureContextNetwork


def test_it_predicts_what_is_stored_of_it():
    """But for the rounding to quarters."""
    torch.manual_seed(0)
    codes, dim, rows, cols = 5, 6, 4, 8
    network = FeatureContextNetwork(torch.randn(codes, dim))
    model = network.to_integers(np.zeros(dim, np.int8))
    neighbours = torch.randint(codes + 1, (rows * cols, len(CODE_NEIGHBOURS)))
    bands = torch.arange(rows).repeat_interleave(cols)
    with torch.no_grad():
        shifts, log_odds = network(neighbours, torch.zeros(rows * cols, len(DIFFERENCE_NEIGHBOURS) * dim), bands)
    stored = model.of_codes(neighbours.numpy(), bands.numpy())
    for found, expected in ((stored.shifts, shifts), (stored.log_odds, log_odds)):
        assert np.abs(found - 4 * expected.numpy()).max() <= 0.51
    assert np.abs(stored.shifts).max() > 0


def test_of_many_dimensions_it_sees_the_first():
    network = FeatureContextNetwork(torch.randn(4, CONTEXT_DIMS + 10))
    assert network.seen == CONTEXT_DIMS and network.dim == CONTEXT_DIMS + 10
    values = torch.zeros(3, len(DIFFERENCE_NEIGHBOURS) * CONTEXT_DIMS)
    codes, bands = torch.zeros(3, len(CODE_NEIGHBOURS), dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    before, _ = network(codes, values, bands)
    after, _ = network(codes, values + 1 / (1 << ACTIVATION_BITS), bands)
    assert before.shape == (3, CONTEXT_DIMS + 10) and not torch.equal(before, after)
