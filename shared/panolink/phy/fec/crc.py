"""CRC-24 of a segment."""

import numpy as np

from panolink.jit import kernel

_POLYNOMIAL = 0x864CFB  # gCRC24A of TS 38.212 §5.1, also that of OpenPGP (RFC 4880 §6.1)
# NR starts from zero, and then the all-zero word carries a valid CRC: what a decoder makes of an erased
# segment would pass. OpenPGP's start value shuts that door.
_START = 0xB704CE


def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32) << 16
    for _ in range(8):
        table = ((table << 1) ^ np.where(table & 0x800000, _POLYNOMIAL, 0)) & 0xFFFFFF
    return table.astype(np.uint32)


_TABLE = _table()


@kernel
def _crc24(data: np.ndarray, table: np.ndarray, start: int) -> int:
    crc = np.uint32(start)
    for byte in data:
        crc = ((crc << np.uint32(8)) & np.uint32(0xFFFFFF)) ^ table[(crc >> np.uint32(16)) ^ np.uint32(byte)]
    return int(crc)


def crc24(data: bytes) -> bytes:
    """CRC-24/OPENPGP of `data`, three bytes, most significant first: crc24(b"123456789") is 21 CF 02."""
    return int(_crc24(np.frombuffer(data, np.uint8), _TABLE, _START)).to_bytes(3, "big")
