import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Modulation, Scheme, SegmentFormat
from panolink.phy.mcs import MAX_PAYLOAD_BYTES


def test_a_rate_that_crossed_the_wire_as_float32_is_the_same_scheme():
    scheme = Scheme(Modulation.QPSK, 1 / 3)
    assert Scheme(Modulation("qpsk"), float(np.float32(1 / 3))) == scheme
    assert str(scheme) == "qpsk 1/3"


@pytest.mark.parametrize("rate", [0.049, 0.95, 0.0, -1.0, float("nan"), float("inf")])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(SignalError, match="code rate"):
        Scheme(Modulation.QPSK, rate)


def test_unknown_modulation_is_refused():
    with pytest.raises(SignalError, match="'256qam'; allowed: qpsk, 16qam, 64qam"):
        Modulation("256qam")


@pytest.mark.parametrize("size", [0, -1, MAX_PAYLOAD_BYTES + 1])
def test_payload_lengths_out_of_range_are_refused(size):
    with pytest.raises(SignalError, match=str(size)):
        SegmentFormat(size, Scheme(Modulation.QPSK, 0.5))


@pytest.mark.parametrize("modulation", list(Modulation))
@pytest.mark.parametrize("rate", [1 / 5, 1 / 3, 1 / 2, 0.67, 2 / 3, 3 / 4, 5 / 6, 0.92])
def test_code_blocks_hold_payload_and_crc_in_whole_symbols(modulation, rate):
    for size in [*range(1, 60), 330, 475, 476, 1000, 4321]:
        fmt = SegmentFormat(size, Scheme(modulation, rate))
        count, k, n = fmt.blocks
        assert 8 * size + 24 <= count * k < 8 * size + 24 + count
        assert k <= (3824 if rate <= 0.67 else 8448)
        assert n % modulation.bits == 0 and k < n <= 5 * k
        assert abs(n - k / rate) <= modulation.bits
        assert fmt.symbols == count * n // modulation.bits
