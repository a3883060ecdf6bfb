import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.streaming.encoder import Change, StreamEncoder
from panolink.codec.streaming.state import Kind


@pytest.fixture
def change(tiny: Codec, panorama: np.ndarray) -> Change:
    """What three noisy bands change in a panorama."""
    encoder = StreamEncoder(tiny)
    encoder.encode(panorama, bpp=0.5)
    encoder.acknowledge(1)
    changed = panorama.copy()
    changed[32:64] = np.random.default_rng(0).integers(0, 256, (32, panorama.shape[1], 3))
    found = encoder.prepare(changed)
    assert found is not None
    return found


def test_what_pays_brings_more_than_its_bits(change: Change):
    costs = change.model.at(2, 0.1)
    pays = costs.pays(0.1)
    assert pays.any() and (costs.gain[pays] > 0.1 * costs.bits[pays]).all()
    assert (costs.kinds[pays] != Kind.UNCHANGED).all()


def test_gain_is_the_drop_of_squared_error(change: Change):
    model, step = change.model, 2
    costs = model.at(step, 0.1)
    refined = np.flatnonzero(costs.kinds == Kind.REFINED)[:20]
    scale = np.exp2((model.steps[refined] + step) / 4)[:, None]
    before = np.square(model.from_reference[refined] / scale).sum(axis=1)
    after = np.square(model.from_reference[refined] / scale - costs.symbols[refined]).sum(axis=1)
    assert np.allclose(costs.gain[refined], before - after, rtol=1e-3, atol=1e-2)


def test_finer_steps_take_more_bits(change: Change):
    bits = [float((costs := change.model.at(step, 0.1)).bits[costs.pays(0.1)].sum()) for step in (12, 6, 0)]
    assert bits == sorted(bits)


def test_part_of_the_tokens_costs_what_it_costs_among_all(change: Change):
    some = np.array([3, 40, 77])
    alone, all_of_them = change.model.from_index_context(3, 0.1, some), change.model.at(3, 0.1)
    for name in ("symbols", "bits", "gain", "kinds"):
        assert np.array_equal(getattr(alone, name), getattr(all_of_them, name)[some])


def test_only_where_the_code_is_closer_may_a_token_be_new(change: Change):
    model = change.model
    new = np.flatnonzero(model.may_be_new)
    error, code_error = (np.square(part).sum(axis=1) for part in (model.from_reference, model.from_code))
    assert (code_error[new] < error[new]).all()
    assert (model.index_bits[new] > 0).all() and not np.delete(model.index_bits, new).any()
