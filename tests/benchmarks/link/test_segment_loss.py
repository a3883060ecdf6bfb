from itertools import pairwise

import numpy as np
import pytest

from benchmarks.link.segment_loss import COHERENCE_SYMBOLS, Air, Draw, effective_snr_db
from panolink.phy import Channel, Conditions, Modulation, Scheme, SegmentFormat, demodulate, modulate
from panolink.phy.bler_curves import bler_curve


@pytest.mark.slow
@pytest.mark.parametrize("modulation", list(Modulation))
def test_the_effective_snr_of_a_flat_channel_is_its_snr(modulation):
    for snr_db in (-3.0, 5.0, 12.0):
        assert effective_snr_db(np.full(50, snr_db), modulation) == pytest.approx(snr_db, abs=0.05)
    assert effective_snr_db(np.array([-100.0, 8.0]), modulation) < 5.5


@pytest.mark.parametrize(("modulation", "rate"), [("qpsk", 1 / 2), ("16qam", 1 / 2), ("64qam", 2 / 3)])
def test_fading_costs_what_was_measured(modulation, rate):
    """Segments were also sent over Rayleigh fading, each symbol with its own coefficient: the same median."""
    scheme = Scheme(modulation, rate)
    measured = bler_curve(scheme, channel="rayleigh").median_db
    quantiles = 10 * np.log10(-np.log(1 - (np.arange(4000) + 0.5) / 4000))
    assert effective_snr_db(measured + quantiles, scheme.modulation) == pytest.approx(
        bler_curve(scheme).median_db, abs=0.35
    )


@pytest.mark.parametrize("snr_db", [2.5, 3.5])
def test_as_many_are_lost_as_when_they_are_sent(snr_db):
    formats = [SegmentFormat(330, Scheme(Modulation.QPSK, 1 / 2))] * 10
    payloads = [bytes(330)] * 10
    symbols = modulate(payloads, formats)
    draws = range(12)
    predicted = np.mean([Draw(Air.INTERLEAVED, (d,)).error_rates(formats, snr_db).mean() for d in draws])
    lost = 0
    for seed in draws:
        conditions = Conditions("rayleigh", snr_db, coherence_symbols=COHERENCE_SYMBOLS, seed=seed)
        lost += demodulate(**vars(Channel(conditions).apply(symbols)), formats=formats).count(None)
    assert lost / 120 == pytest.approx(predicted, abs=0.12)
    assert 0.02 < predicted < 0.98


def test_draws_are_the_same_at_every_snr_and_losses_only_grow():
    formats = [SegmentFormat(300, Scheme(Modulation.QAM16, 1 / 2))] * 30
    for air in Air:
        draw = Draw(air, (3, 4))
        lost = [draw.lost(formats, snr) for snr in (0, 6, 12, 30)]
        assert all((a >= b).all() for a, b in pairwise(lost))
        assert lost[0].any() and (draw.lost(formats, 6) == lost[1]).all()
