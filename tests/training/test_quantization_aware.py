"""Networks in training are the integer networks that they become."""

import numpy as np
import pytest
import torch

from panolink.codec.entropy.integer_network import ACTIVATION_BITS
from panolink.training.quantization_aware import (
    SUM_BITS,
    TrainedIntegers,
    codes_as_vectors,
    learning_rate,
    rounded,
    stored,
)


@pytest.fixture
def network() -> TrainedIntegers:
    torch.manual_seed(0)
    return TrainedIntegers(inputs=20, hidden=16, outputs=5, fan_in=10)


@pytest.mark.parametrize(("value", "expected"), [(0.26, 0.25), (0.3, 0.25), (100.0, 127 / 4), (-100.0, -127 / 4)])
def test_values_are_rounded_and_kept_in_range(value: float, expected: float):
    assert float(rounded(torch.tensor(value), bits=2)) == expected
    assert int(stored(torch.tensor([value]), 2, np.int8)[0]) == 4 * expected


def test_gradients_go_straight_through():
    value = torch.tensor([0.3, 100.0], requires_grad=True)
    (3 * rounded(value, bits=2)).sum().backward()
    assert torch.equal(value.grad, torch.tensor([3.0, 3.0]))  # type: ignore[arg-type]


def test_outputs_are_those_of_the_integer_network(network: TrainedIntegers):
    random = np.random.default_rng(1)
    inputs = random.integers(-127, 128, (50, 20)).astype(np.int8)
    offset = random.integers(-5000, 5000, (50, 16)).astype(np.int16)
    units = torch.from_numpy(inputs).float() / (1 << ACTIVATION_BITS), torch.from_numpy(offset) / (1 << SUM_BITS)
    outputs = network(*units).detach().numpy() * (1 << SUM_BITS)
    expected = network.to_integers()(inputs, offset)
    # Halves are rounded to even here and up there: one activation in 64 may differ by one, and outputs by its weight.
    assert (outputs == expected).mean() > 0.8 and np.abs(outputs - expected).max() <= 127


def test_parts_of_the_inputs_can_be_given_alone(network: TrainedIntegers):
    inputs, offset = torch.rand(3, 20), torch.rand(3, 16)
    part = inputs.clone()
    part[:, 8:] = 0
    torch.testing.assert_close(network(inputs[:, :8], offset, slice(0, 8)), network(part, offset))


def test_codes_begin_as_their_principal_components():
    torch.manual_seed(0)
    codebook = torch.randn(30, 2) @ torch.randn(2, 6)  # on a plane
    vectors = codes_as_vectors(codebook, 4)
    assert vectors.shape == (31, 4) and not vectors[-1].any(), "no code is the origin"
    assert vectors[:, 2:].abs().max() < 1e-4 * vectors.abs().max(), "two dimensions tell all"
    distances = torch.cdist(vectors[:-1], vectors[:-1])
    expected = torch.cdist(codebook, codebook)
    torch.testing.assert_close(distances / distances.max(), expected / expected.max(), atol=2e-3, rtol=1e-3)


def test_the_rate_rises_and_falls_to_nothing():
    rates = [learning_rate(step, 1000, 2.0) for step in range(1001)]
    assert rates[0] == pytest.approx(2 / 50) and max(rates) == pytest.approx(2, rel=0.02)
    assert rates[50:] == sorted(rates[50:], reverse=True) and rates[-1] == 0
