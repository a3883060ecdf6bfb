import numpy as np
import pytest

from benchmarks.link.fit_bler_curves import fit, lost
from panolink.errors import SignalError
from panolink.phy import Modulation, Scheme
from panolink.phy.bler_curves import CHANNELS, BlerCurve, bler_curve
from panolink.phy.mcs import MCS_TABLE


def test_a_curve_and_its_inverse():
    curve = BlerCurve(3.0, 0.2)
    assert curve.bler(3.0) == pytest.approx(0.5)
    assert curve.bler(curve.snr_at(0.01)) == pytest.approx(0.01)
    assert curve.bler(-20) == pytest.approx(1) and curve.bler(20) < 1e-12


def test_a_fit_finds_the_curve_it_was_drawn_from():
    rng, blocks = np.random.default_rng(0), 4000
    snrs = np.arange(2.5, 3.6, 0.1)
    counts = [(float(s), int(rng.binomial(blocks, BlerCurve(3.0, 0.2).bler(float(s))))) for s in snrs]
    assert fit(counts, blocks) == pytest.approx((3.0, 0.2), abs=0.01)


@pytest.mark.parametrize("scheme", MCS_TABLE, ids=str)
def test_curves_stand_behind_capacity_but_not_far(scheme):
    """Up to 3.1 dB behind Shannon's limit: 64-QAM is not Gaussian, and blocks are short."""
    limit = 10 * np.log10(2**scheme.bits_per_symbol - 1)
    assert limit + 0.4 < bler_curve(scheme).snr_at(0.01) < limit + 3.1
    assert bler_curve(scheme, channel="rayleigh").median_db > bler_curve(scheme).median_db + 0.2
    # Short blocks have a flatter curve.
    assert bler_curve(scheme, payload_bytes=60).spread_db > bler_curve(scheme, payload_bytes=1000).spread_db


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("scheme", [Scheme(Modulation.QPSK, 1 / 4), Scheme(Modulation.QAM64, 2 / 3)], ids=str)
def test_the_link_still_does_what_was_measured(scheme, channel):
    curve = bler_curve(scheme, channel=channel)
    assert 20 <= lost(330, scheme, channel, curve.median_db, 60, seed=99) <= 40  # 30 ± 2.6 standard deviations
    assert lost(330, scheme, channel, curve.snr_at(0.01) + 0.2, 60, seed=98) <= 3


def test_what_was_not_measured_is_named():
    with pytest.raises(SignalError, match="no error curve of qpsk 3/10 over 'awgn'; measured: qpsk 1/10, "):
        bler_curve(Scheme(Modulation.QPSK, 0.3))
