import numpy as np

from panolink.codec.entropy.tables import CLASSES, MAX_MAGNITUDE
from panolink.training.laplace_prior import DEAD_ZONE, laplace_pmf


def test_it_is_the_share_of_laplace_samples_that_round_to_each_magnitude():
    pmf = laplace_pmf()
    assert pmf.shape == (CLASSES, MAX_MAGNITUDE + 2)
    np.testing.assert_allclose(pmf.sum(axis=1), 1, atol=1e-6)
    values = np.abs(np.random.default_rng(0).laplace(scale=2 ** ((20 - 16) / 4), size=400_000))
    magnitudes = np.minimum(np.floor(values + 1 - DEAD_ZONE), MAX_MAGNITUDE + 1).astype(int)
    np.testing.assert_allclose(pmf[20], np.bincount(magnitudes, minlength=MAX_MAGNITUDE + 2) / len(values), atol=3e-3)


def test_wider_classes_have_larger_magnitudes_and_none_is_impossible():
    pmf = laplace_pmf()
    assert (pmf > 0).all()
    means = pmf @ np.arange(pmf.shape[1])
    assert (np.diff(means) > 0).all() and means[0] < 0.01
