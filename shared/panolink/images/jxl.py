"""The size of a JPEG XL picture, which its decoder tells only after it has decoded all of it."""

from __future__ import annotations

from panolink.errors import ImageError

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height from the SizeHeader of a codestream (ISO/IEC 18181-1, D.2), bare or in its container.

    Raises
    ------
    ImageError : no codestream.
    """
    stream = data if data[:2] == b"\xff\x0a" else _codestream(data)
    if stream[:2] != b"\xff\x0a":
        raise ImageError("truncated or damaged JPEG XL (no codestream)")
    bits = _Bits(stream[2:18])
    small = bits.take(1)
    height = _side(bits, small)
    if ratio := bits.take(3):
        over, under = _RATIOS[ratio - 1]
        return height * over // under, height
    return _side(bits, small), height


def _side(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (bits.take(5) + 1)
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


def _codestream(data: bytes) -> bytes:
    position = 0
    while position + 16 <= len(data):
        size, kind, begin = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8], 8
        if size == 1:
            size, begin = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            begin += 4 if kind == b"jxlp" else 0
            return data[position + begin : position + begin + 18]
        if size < begin:
            break
        position += size
    return b""


class _Bits:
    """Bits of bytes, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken
