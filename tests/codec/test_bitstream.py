import numpy as np
import pytest

from panolink.codec.bitstream import Header, Layer, Packet
from panolink.codec.codec import Codec
from panolink.codec.resolution import WHOLE
from panolink.errors import BitstreamError, PanolinkError


@pytest.fixture(scope="module")
def packet() -> Packet:
    return Packet.build(
        fingerprint="0123456789abcdef",
        size=(512, 1024),
        step=-3,
        mask=b"mask",
        indices=[b"i" * 200, b"j" * 130],
        features=[b"a", b"", b"c" * 3, b"d" * 300],
    )


def test_round_trip(packet: Packet):
    data = packet.to_bytes()
    again = Packet.from_bytes(data)
    assert again == packet
    assert (again.width, again.height, again.header.step) == (1024, 512, -3)
    assert (again.header.index_slices, again.header.parts) == (2, 2)
    assert [piece.layer for piece in again.slices[:4]] == [Layer.HEADER, Layer.MASK, Layer.INDICES, Layer.INDICES]


def test_every_bit_is_counted(packet: Packet):
    assert sum(packet.bits.values()) == 8 * len(packet.to_bytes())
    assert packet.bits["mask"] == 32 and packet.bits["indices"] == 8 * 330 and packet.bits["features"] == 8 * 304
    assert packet.bpp == 8 * len(packet.to_bytes()) / (1024 * 512)


def test_without_mask_there_is_no_mask_slice():
    packet = Packet.build(fingerprint="00" * 8, size=(32, 64), step=0, mask=b"", indices=[b"x"], features=[])
    assert [piece.layer for piece in packet.slices] == [Layer.HEADER, Layer.INDICES]
    assert Packet.from_bytes(packet.to_bytes()) == packet


def test_lost_slices_leave_holes(packet: Packet):
    payloads = [piece.payload for piece in packet.slices]
    payloads[1] = payloads[3] = None
    holed = Packet.from_payloads(payloads)
    assert holed.lost == 2
    assert holed.bits == packet.bits
    with pytest.raises(BitstreamError, match="lost slices cannot be written"):
        holed.to_bytes()
    with pytest.raises(BitstreamError, match="header was lost"):
        Packet.from_payloads([None, *payloads[1:]])
    with pytest.raises(BitstreamError, match=r"slice 2 has 1 bytes, the header says 200"):
        Packet.from_payloads([payloads[0], None, b"x", *payloads[3:]])
    with pytest.raises(BitstreamError, match="names 7"):
        Packet.from_payloads(payloads[:4])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not start with 'PLK'"),
        (b"\x89PNG\r\n", "does not start with 'PLK'"),
        (b"PLK", "version none"),
        (b"PLK\x07" + bytes(20), "version 07; this release reads version 4"),
        (b"PLK\x04" + bytes(8), "truncated"),
        (b"PLK\x04" + bytes(30), "0×0 pixels"),
        (b"PLK\x04" + bytes(8) + b"\xff" * 9, "more than 35 bits"),
    ],
)
def test_not_a_packet(data: bytes, message: str):
    with pytest.raises(BitstreamError, match=message):
        Packet.from_bytes(data)


def test_truncated_anywhere(packet: Packet):
    data = packet.to_bytes()
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            Packet.from_bytes(data[:length])
    with pytest.raises(BitstreamError, match="truncated or padded"):
        Packet.from_bytes(data + b"\0")


def test_any_flipped_bit_is_noticed(packet: Packet):
    data = packet.to_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(BitstreamError):
            Packet.from_bytes(bytes(damaged))


def test_a_huge_header_takes_no_memory():
    """Lengths are checked against limits before anything is allocated."""
    header = Header("00" * 8, 65536, 65536, WHOLE, 0, 65535, 4095, ())
    with pytest.raises(BitstreamError, match="slices; 1 to 65536"):
        Packet.from_bytes(header.to_bytes())


def test_garbage_slices_give_a_picture_or_one_clear_error(tiny: Codec, panorama: np.ndarray):
    """On the air a slice may pass its CRC by chance: whatever it holds, the receiver stands."""
    packet = tiny.encode(panorama, tau=0.5)
    random = np.random.default_rng(0)
    for _ in range(40):
        payloads = [piece.payload for piece in packet.slices]
        for number in range(1, len(payloads)):
            payloads[number] = random.bytes(len(payloads[number] or b""))
        try:
            image = tiny.decode(Packet.from_payloads(payloads))
        except PanolinkError:
            continue
        assert image.shape == panorama.shape
