"""In torch operations, on each device that is here, the index context model finds what the kernels do."""

import numpy as np
import pytest
import torch

from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.device_index_context import DeviceIndexContext, quotients
from panolink.codec.entropy.index_context import BANDS, PASSES, TOTAL
from tests.codec.entropy.integer_networks import random_index_context
from tests.codec.entropy.random_tables import CODES, random_tables

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("codes", [5, 40])
def test_probabilities_are_the_same(device: str, codes: int):
    model, random = random_index_context(codes), np.random.default_rng(0)
    there = DeviceIndexContext(model, torch.device(device))
    for number, one in enumerate(PASSES):
        neighbours = random.integers(0, codes + 1, (60, len(one.neighbours))).astype(np.int32)
        bands, indices = random.integers(0, BANDS, 60), np.arange(60) % codes
        expected = model.frequencies(number, neighbours, bands)
        found = there.frequencies(number, neighbours, bands)
        assert found.dtype == expected.dtype and np.array_equal(found, expected)
        for own, other in zip(
            there.intervals(number, neighbours, bands, indices),
            model.intervals(number, neighbours, bands, indices),
            strict=True,
        ):
            assert own.dtype == other.dtype and np.array_equal(own, other)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("slices", [1, 3])
def test_either_coder_reads_the_other_one(device: str, slices: int):
    tables, shape = random_tables(), (6, 12)
    host, there = SliceCoder(tables), SliceCoder(tables, torch.device(device))
    indices = np.random.default_rng(1).integers(0, CODES, shape)
    payloads = there.encode_indices(indices, slices)
    assert payloads == host.encode_indices(indices, slices)
    assert np.array_equal(there.decode_indices(payloads, shape), indices)


@pytest.mark.parametrize("device", DEVICES)
def test_shares_are_rounded_once_as_the_kernels_round_them(device: str):
    """Torch takes a number by a tensor for a product with its inverse, rounded twice."""
    totals, number = np.random.default_rng(0).integers(1 << 24, 1 << 34, 100_000), TOTAL - 1024
    found = quotients(number, torch.from_numpy(totals).to(device)).cpu().numpy()
    assert np.array_equal(found, number / totals.astype(np.float64))
