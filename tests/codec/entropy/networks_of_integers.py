"""Networks of integers that nobody trained."""

import numpy as np

from panolink.codec.entropy.feature_context import AROUND, SIDES, Surroundings
from panolink.codec.entropy.index_context import BANDS, PASSES, SLOTS, IndexContexts
from panolink.codec.entropy.integer_network import IntegerNetwork


def weights(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.integers(-127, 128, shape).astype(np.int8)


def integer_network(inputs: int, hidden: int, outputs: int) -> IntegerNetwork:
    random = np.random.default_rng(7)
    return IntegerNetwork(
        first=weights(random, inputs, hidden),
        second=weights(random, hidden, hidden),
        second_bias=100 * weights(random, hidden).astype(np.int16),
        last=weights(random, hidden, outputs),
        last_bias=100 * weights(random, outputs).astype(np.int16),
    )


def index_contexts(codes: int, *, embedding: int = 3, hidden: int = 8) -> IndexContexts:
    random = np.random.default_rng(8)
    return IndexContexts(
        embedding=weights(random, codes + 1, embedding),
        bands=100 * weights(random, len(PASSES), BANDS, hidden).astype(np.int16),
        network=integer_network(SLOTS * embedding, hidden, codes),
    )


def surroundings(codes: int, dim: int, *, told: int = 4, embedding: int = 3, hidden: int = 8) -> Surroundings:
    random = np.random.default_rng(9)
    return Surroundings(
        embedding=weights(random, codes + 1, embedding),
        bands=100 * weights(random, BANDS, hidden).astype(np.int16),
        units=random.integers(-8, 9, told).astype(np.int8),
        network=integer_network(len(AROUND) * embedding + len(SIDES) * told, hidden, 2 * dim),
    )
