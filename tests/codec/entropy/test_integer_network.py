from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.entropy.integer_network import EXACT, MAX_ACTIVATION, MAX_INPUT, WEIGHT_BITS, look_up_sum
from tests.codec.entropy.integer_networks import random_integer_network, weights


def test_float32_computes_what_integers_would():
    """Every sum is held exactly: the same as in 64-bit integers, and whatever the order."""
    network, random = random_integer_network(400, 128, 300), np.random.default_rng(1)
    inputs = random.integers(-MAX_INPUT, MAX_INPUT + 1, (50, 400))
    offset = random.integers(-(1 << 15), 1 << 15, (50, 128)).astype(np.int16)
    outputs = network(inputs.astype(np.int8), offset)

    def activation(total: np.ndarray) -> np.ndarray:
        return np.clip((total + (1 << WEIGHT_BITS >> 1)) >> WEIGHT_BITS, 0, MAX_ACTIVATION)

    wide = {name: getattr(network, name).astype(np.int64) for name in network.__dataclass_fields__}
    hidden = activation(offset + inputs @ wide["first"])
    assert 0 < (hidden == MAX_ACTIVATION).mean() < 1 and (hidden == 0).any()
    hidden = np.minimum(hidden + activation(hidden @ wide["second"] + wide["second_bias"]), MAX_ACTIVATION)
    assert np.array_equal(outputs, hidden @ wide["last"] + wide["last_bias"])

    order = random.permutation(400)
    again = replace(network, first=network.first[order])(inputs[:, order].astype(np.int8), offset)
    assert np.array_equal(again, outputs)


def test_some_inputs_may_be_connected():
    network, random = random_integer_network(10, 6, 4), np.random.default_rng(2)
    inputs, offset = random.integers(-9, 10, (5, 10)).astype(np.int8), np.zeros((5, 6), np.int16)
    inputs[:, :3] = inputs[:, 7:] = 0
    assert np.array_equal(network(inputs, offset), network(inputs[:, 3:7], offset, slice(3, 7)))
    nothing = network(np.zeros((5, 0), np.int8), offset, slice(0, 0))
    assert np.array_equal(nothing, network(np.zeros((5, 10), np.int8), offset))


@pytest.mark.parametrize("places", [0, 1, 3, 4, 9])
def test_a_look_up_is_the_first_layer_of_embeddings(places: int):
    network, random = random_integer_network(9 * 5 + 7, 33, 4), np.random.default_rng(3)
    embedding, codes = weights(random, 21, 5), random.integers(0, 21, (50, places))
    offsets, rows = random.integers(-(1 << 15), 1 << 15, (6, 33)).astype(np.int16), random.integers(0, 6, 50)
    table = network.look_up_table(embedding, places)
    inputs = embedding[codes].reshape(50, -1)
    found = network.after_first(look_up_sum(table, codes, offsets, rows))
    assert np.array_equal(found, network(inputs, offsets[rows], slice(0, 5 * places)))
    large = replace(network, first=np.full_like(network.first, 127))
    wide = large.look_up_table(np.full((2, 5), 127, np.int8), 9)
    assert wide.dtype == np.int32 and wide.max() == 5 * 127 * 127


def test_weights_whose_sums_would_not_be_exact_are_refused():
    network = random_integer_network(10, 600, 4)
    assert 600 * 127 * MAX_ACTIVATION > EXACT
    with pytest.raises(ValueError, match="sums would not be exact"):
        replace(network, last=np.full((600, 4), 127, dtype=np.int8))
    with pytest.raises(ValueError, match="do not fit together"):
        replace(network, second_bias=np.zeros(3, dtype=np.int16))
