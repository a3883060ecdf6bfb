"""Integer networks with random weights."""

import numpy as np

from panolink.codec.entropy.feature_context import CODE_NEIGHBOURS, DIFFERENCE_NEIGHBOURS, FeatureContextModel
from panolink.codec.entropy.index_context import BANDS, PASSES, SLOTS, IndexContextModel
from panolink.codec.entropy.integer_network import IntegerNetwork


def weights(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.integers(-127, 128, shape).astype(np.int8)


def random_integer_network(inputs: int, hidden: int, outputs: int) -> IntegerNetwork:
    random = np.random.default_rng(7)
    return IntegerNetwork(
        first=weights(random, inputs, hidden),
        second=weights(random, hidden, hidden),
        second_bias=100 * weights(random, hidden).astype(np.int16),
        last=weights(random, hidden, outputs),
        last_bias=100 * weights(random, outputs).astype(np.int16),
    )


def random_index_context(codes: int, *, embedding: int = 3, hidden: int = 8) -> IndexContextModel:
    random = np.random.default_rng(8)
    return IndexContextModel(
        embedding=weights(random, codes + 1, embedding),
        bands=100 * weights(random, len(PASSES), BANDS, hidden).astype(np.int16),
        network=random_integer_network(SLOTS * embedding, hidden, codes),
    )


def random_feature_context(
    codes: int, dim: int, *, differences: int = 4, embedding: int = 3, hidden: int = 8
) -> FeatureContextModel:
    random, differences = np.random.default_rng(9), min(differences, dim)
    return FeatureContextModel(
        embedding=weights(random, codes + 1, embedding),
        bands=100 * weights(random, BANDS, hidden).astype(np.int16),
        units=random.integers(-8, 9, differences).astype(np.int8),
        network=random_integer_network(
            len(CODE_NEIGHBOURS) * embedding + len(DIFFERENCE_NEIGHBOURS) * differences, hidden, 2 * dim
        ),
    )
