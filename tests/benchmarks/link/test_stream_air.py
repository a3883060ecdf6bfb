import numpy as np
import pytest

from benchmarks.link.stream_air import airs, over_ldpc, over_link
from panolink.codec.codec import Codec
from panolink.phy import Conditions, Modulation, Scheme


def test_the_deep_fade_is_in_the_middle_and_known_a_picture_later():
    air, expected = airs(30)["deep fade"]
    met = [air(number).snr_db for number in range(30)]
    assert met[0] == met[-1] == 15 and min(snr for snr in met if snr is not None) == met[15] == -6
    assert [expected(number) for number in range(1, 30)] == met[:-1]


@pytest.mark.slow
def test_what_is_lost_stays_on_the_screen(panorama: np.ndarray):
    pictures = [panorama] * 6

    def air(number: int) -> Conditions:
        return Conditions("awgn", snr_db=-15 if number == 2 else 20, seed=number)

    codec = Codec.load("base", device="cpu")
    ours = over_link(codec, pictures, air, lambda number: 20.0)
    assert ours[2] == ours[1] and ours[3] >= ours[1]
    other = over_ldpc(pictures, air, Scheme(Modulation.QPSK, 1 / 2))
    assert other and other[5] == other[2] == other[1], "until the next key picture"
