import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Modulation, Scheme, SegmentFormat, modulate


@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"\xaa"])
def test_mean_power_is_one_whatever_is_sent(fill):
    formats = [SegmentFormat(1000, Scheme(Modulation.QAM64, 3 / 4))]
    assert np.mean(np.abs(modulate([fill * 1000], formats)) ** 2) == pytest.approx(1, abs=0.05)


def test_payloads_must_fit_their_formats():
    with pytest.raises(SignalError, match="2 payloads but 1 segment formats"):
        modulate([b"a", b"b"], [SegmentFormat(1, Scheme(Modulation.QPSK, 1 / 2))])
    with pytest.raises(SignalError, match="payload 0 has 2 bytes, its format says 1"):
        modulate([b"ab"], [SegmentFormat(1, Scheme(Modulation.QPSK, 1 / 2))])
