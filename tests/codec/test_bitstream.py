import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest

from panolink.codec.bitstream import Header, Layer, Packet, metadata_bits
from panolink.codec.codec import Codec
from panolink.codec.resolution import WHOLE
from panolink.errors import BitstreamError, PanolinkError
from panolink.sphere.metadata import Crop, SphereMetadata


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
    assert [number for number, piece in enumerate(holed.slices) if piece.payload is None] == [1, 3]
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
        (b"PLK\x07" + bytes(20), "version 07; this release reads versions 4 to 6"),
        (b"PLK\x04" + bytes(8), "truncated"),
        (b"PLK\x04" + bytes(30), "0×0 pixels"),
        (b"PLK\x04" + bytes(8) + b"\xff" * 9, "more than 35 bits"),
    ],
)
def test_not_a_packet(data: bytes, message: str):
    with pytest.raises(BitstreamError, match=message):
        Packet.from_bytes(data)


def test_a_header_byte_by_byte():
    """As its description says, for who reads or writes it elsewhere."""
    header = Header("0123456789abcdef", 1024, 512, Fraction(3, 2), -3, 2, 1, (5, 200, 130, 0, 300))
    data = header.to_bytes()
    assert data[:12] == b"PLK\x04" + bytes.fromhex("0123456789abcdef")
    assert data[12:-4].hex(" ") == "80 08 80 04 03 fd 01 02 01 05 c8 01 82 01 00 ac 02"
    assert data[-4:] == zlib.crc32(data[:-4]).to_bytes(4, "little")


@pytest.mark.parametrize("size", [(1, 65536), (65536, 1), (15, 64), (16, 65537)])
def test_sides_that_no_encoder_takes_are_refused(size: tuple[int, int]):
    """A picture of one row takes the work of one of sixteen."""
    packet = Packet.build(fingerprint="00" * 8, size=size, step=0, mask=b"", indices=[b"x"], features=[])
    with pytest.raises(BitstreamError, match="each side must be 16 to 65536"):
        Packet.from_bytes(packet.to_bytes())


def test_nothing_may_stand_behind_a_header_on_the_air(packet: Packet):
    head, *rest = (piece.payload or b"" for piece in packet.slices)
    with pytest.raises(BitstreamError, match=f"header of {len(head) + 4} bytes; its content ends after {len(head)}"):
        Packet.from_payloads([head + b"junk", *rest])


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


@pytest.mark.slow
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


SPHERE = SphereMetadata(heading=225, pitch=17, roll=-12, crop=Crop(0, 100, 1024, 300, 1024, 512))


def test_metadata_in_the_header(packet: Packet):
    with_pose = packet.with_metadata(SPHERE, b"II*\0 exif")
    again = Packet.from_bytes(with_pose.to_bytes())
    assert again == with_pose and again.header.sphere == SPHERE and again.header.exif == b"II*\0 exif"
    extra = 8 * (len(with_pose.to_bytes()) - len(packet.to_bytes()))
    assert extra == metadata_bits(SPHERE, b"II*\0 exif") and with_pose.bits["header"] == packet.bits["header"] + extra
    assert metadata_bits(SphereMetadata(225, 17, -12)) == 80


def test_packets_without_metadata_are_what_they_were(packet: Packet):
    assert packet.with_metadata().to_bytes() == packet.to_bytes() and packet.to_bytes()[3] == 4
    assert packet.with_metadata(SPHERE).to_bytes()[3] == 5
    assert packet.with_metadata(SPHERE).with_metadata() == packet and metadata_bits() == 0


def test_metadata_of_kinds_to_come_are_skipped(packet: Packet):
    head = packet.with_metadata(SphereMetadata(heading=1)).slices[0].payload
    assert head is not None
    # length 5 and a record of type 1, 3 bytes: put one of type 9 behind it
    assert head[-10:-4] == b"\5\1\3" + SphereMetadata(heading=1).to_bytes()
    body = head[:-10] + bytes([8]) + head[-9:-4] + bytes([9, 1, 77])
    header, _ = Header.parse(body + struct.pack("<I", zlib.crc32(body)))
    assert header.sphere == SphereMetadata(heading=1)


@pytest.mark.parametrize("kind", range(4))
def test_damaged_metadata(packet: Packet, kind: int):
    head = packet.with_metadata(SPHERE).slices[0].payload
    assert head is not None
    bodies = [head[:-4][:-3], head[:-6], head[:-4] + b"x", head[:-27] + b"\xff" + head[-26:-4]]
    body = bodies[kind]
    with pytest.raises(BitstreamError):
        Header.parse(body + struct.pack("<I", zlib.crc32(body)))
