import pytest

from panolink.codec.streaming.leaky_bucket import DEPTH, MOST_WHOLE_BPP, LeakyBucket


def test_the_first_picture_borrows_and_later_ones_make_up_for_it():
    bucket, mean, spent = LeakyBucket(), 0.02, []
    for number in range(60):
        spent.append(bucket.allowed(mean, whole=number == 0))
        bucket.spent(spent[-1], mean)
        assert sum(spent) <= (len(spent) + DEPTH) * mean + 1e-9
    assert spent[0] == pytest.approx(min(DEPTH * mean, MOST_WHOLE_BPP)) and spent[1] < mean
    assert spent[-1] == pytest.approx(mean)


def test_a_generous_mean_borrows_nothing():
    assert LeakyBucket().allowed(0.5, whole=True) == 0.5


def test_whole_pictures_one_after_the_other_fall_to_the_mean():
    bucket = LeakyBucket()
    for _ in range(20):
        allowed = bucket.allowed(0.05, whole=True)
        bucket.spent(allowed, 0.05)
    assert allowed == pytest.approx(0.05)
