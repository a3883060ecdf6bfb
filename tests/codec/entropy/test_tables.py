from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.entropy.feature_context import EntropyParameters
from panolink.codec.entropy.tables import (
    ADAPTATION_CONTEXTS,
    CLASSES,
    LEVEL_ZERO,
    MAX_MAGNITUDE,
    TOTAL,
    Tables,
    to_frequencies,
)
from tests.codec.entropy.integer_networks import random_feature_context, random_index_context
from tests.codec.entropy.random_tables import CODES, DIM, random_tables


@pytest.fixture(scope="module")
def tables() -> Tables:
    return random_tables()


def test_frequencies_are_positive_and_sum_up():
    table = to_frequencies(np.array([[0, 0, 5], [1, 1, 1]]), 1000)
    assert table.sum(axis=1).tolist() == [1000, 1000]
    assert table.min() >= 1
    with pytest.raises(ValueError, match="sum to 65536"):
        Tables(*[np.ones((2, 2), dtype=np.int32)] * 5, random_index_context(2), random_feature_context(2, 2))  # type: ignore[arg-type]


def test_arrays_keep_the_names_of_weights_files(tables: Tables):
    """Format 3, on which fingerprints rest."""
    arrays = tables.to_arrays()
    assert {"levels", "promises", "shifts", "contexts.bands", "surroundings.network.first"} <= set(arrays)
    again = Tables.from_arrays(arrays)
    assert all(np.array_equal(array, arrays[name]) for name, array in again.to_arrays().items())
    del arrays["promises"]
    with pytest.raises(KeyError, match="promises"):
        Tables.from_arrays(arrays)


def test_parts_that_do_not_fit_together_are_refused(tables: Tables):
    with pytest.raises(ValueError, match="not of 24 codes"):
        replace(tables, index_context=random_index_context(CODES + 1))
    with pytest.raises(ValueError, match="7 dimensions; there are 6"):
        replace(tables, feature_context=random_feature_context(CODES, DIM + 1))
    with pytest.raises(ValueError, match="expected_magnitude"):
        replace(tables, expected_magnitude=tables.expected_magnitude[1:])
    with pytest.raises(ValueError, match=r"shifts must be \(1 … 12, 39\), not \(13, 39\)"):
        replace(tables, shifts=np.zeros((13, ADAPTATION_CONTEXTS), np.int8))


@pytest.mark.parametrize("dim", [1, 6, 36, 64, 192])
@pytest.mark.parametrize("groups", [1, 8, 12])
def test_groups_cover_every_dimension_once(tables: Tables, dim: int, groups: int):
    """Of models of any number of groups, such as the eight that those before had."""
    some = replace(
        tables,
        levels=np.zeros((CODES, dim), np.uint8),
        feature_context=random_feature_context(CODES, dim),
        shifts=np.zeros((groups, ADAPTATION_CONTEXTS), np.int8),
    )
    assert [d for part in some.groups for d in range(dim)[part]] == list(range(dim))
    assert len(some.groups) == groups if dim == 192 else len(some.groups) <= groups


def test_a_class_is_the_level_less_the_step(tables: Tables):
    level = replace(tables, levels=np.full((CODES, DIM), LEVEL_ZERO + 4, dtype=np.uint8))
    indices, steps = np.zeros(4, dtype=np.int64), np.array([0, 3, 20, -40])
    assert level.classes(indices, steps)[:, 0].tolist() == [20, 17, 0, CLASSES - 1]
    context = EntropyParameters(np.full((4, DIM), -19, np.int8), np.zeros((4, DIM), np.int8))
    assert level.classes(indices, steps, context)[:, 0].tolist() == [1, 1, 0, CLASSES - 20]


def test_code_lengths_are_those_of_the_frequencies(tables: Tables):
    lengths = tables.code_lengths()
    assert lengths.shape == (CLASSES, MAX_MAGNITUDE + 2) and not lengths[0].any()
    bits = -np.log2(tables.symbol_frequencies[5] / TOTAL)
    assert lengths[5] == pytest.approx(bits + np.array([0, *[1] * MAX_MAGNITUDE, 17]), abs=1e-3)
