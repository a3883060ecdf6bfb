"""Tables with random values, of few codes and dimensions."""

import numpy as np

from panolink.codec.entropy.tables import (
    ADAPTATION_CONTEXTS,
    CLASSES,
    GROUP_STARTS,
    MAX_MAGNITUDE,
    Tables,
    to_frequencies,
)
from tests.codec.entropy.integer_networks import random_feature_context, random_index_context

CODES, DIM = 24, 6


def random_tables() -> Tables:
    random = np.random.default_rng(0)
    return Tables(
        levels=random.integers(40, 90, (CODES, DIM)).astype(np.uint8),
        symbol_frequencies=to_frequencies(random.gamma(0.5, size=(CLASSES, MAX_MAGNITUDE + 2)) + 1e-3),
        code_frequencies=to_frequencies(random.gamma(0.3, size=(1, CODES)) + 1e-3)[0],
        expected_magnitude=np.arange(CLASSES, dtype=np.int32),
        shifts=random.integers(-6, 7, (len(GROUP_STARTS), ADAPTATION_CONTEXTS)).astype(np.int8),
        index_context=random_index_context(CODES),
        feature_context=random_feature_context(CODES, DIM),
    )
