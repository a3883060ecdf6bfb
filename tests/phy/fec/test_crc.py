import numpy as np
import torch
from sionna.phy.fec.crc import CRCEncoder

from panolink.phy.fec.crc import crc24


def test_check_value_of_the_catalogue():
    assert crc24(b"123456789").hex() == "21cf02"


def test_polynomial_is_that_of_nr():
    data = np.random.default_rng(0).bytes(50)
    bits = torch.from_numpy(np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.float32))
    nr = np.packbits(CRCEncoder("CRC24A")(bits[None])[0, -24:].numpy().astype(np.uint8)).tobytes()
    # CRCs with other start values differ by what the start value alone makes of as many zeros
    start = crc24(bytes(len(data)))
    assert crc24(data) == bytes(a ^ b for a, b in zip(nr, start, strict=True))


def test_flips_and_bursts_are_caught():
    rng = np.random.default_rng(1)
    data = bytearray(rng.bytes(100))
    good = crc24(bytes(data))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        assert crc24(bytes(data)) != good
        data[bit // 8] ^= 1 << bit % 8


def test_zeros_do_not_check_out_at_any_length():
    assert all(crc24(bytes(n)) != bytes(3) for n in range(1, 500))
