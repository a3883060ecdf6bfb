"""Write the corpus that a run begins with: valid inputs of each kind, small. `python -m fuzz.seeds`.

Bursts come from a real transmission of a small panorama; the rest is made by hand or by the writers of the formats.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fuzz.targets import FIRST_OF_STREAM
from panolink.codec.codec import Codec
from panolink.codec.model import save_model
from panolink.codec.networks.autoencoder import Autoencoder, Profile
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.images import encode_png
from panolink.images.mp4_boxes import UUID_V1, box
from panolink.images.wire_pictures import encode_picture
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.picture_format import PictureFormat
from panolink.rpc.security.certificate_authority import Subject, issue_certificates
from panolink.rpc.wire.bursts import Burst, burst_messages
from panolink.rpc.wire.segments import segments_to_wire
from panolink.sphere.focus import Focus
from panolink.sphere.metadata import SphereMetadata
from panolink.training.fit_tables import fit_tables
from panolink.v1 import channel_pb2, link_pb2, receiver_pb2, transmitter_pb2

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "fuzz/corpus"


def main() -> None:
    """Write all seeds."""
    with Image.open(ROOT / "samples/city.webp") as sample:
        small = np.array(sample.convert("RGB").resize((128, 64)))
    codec = Codec.load("base", device="cpu")
    pictures(small)
    packets(codec, small)
    streams(codec, small)
    bursts(codec, small)
    messages()
    texts()
    videos()
    browsers()
    files()


def write(target: str, name: str, data: bytes | str) -> None:
    """One seed."""
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def pictures(small: np.ndarray) -> None:
    """A file of each format that is read, and one with metadata of a sphere."""
    image = Image.fromarray(small[:32, :64])
    kinds = ("png", "jpeg", "webp", "tiff", "bmp", "gif", "jpeg2000", "avif", "ppm")
    for kind in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind)
        write("picture", kind, buffer.getvalue())
    for name, options in {"progressive": {"progressive": True}, "cmyk": {}}.items():
        buffer = io.BytesIO()
        (image.convert("CMYK") if name == "cmyk" else image).save(buffer, "jpeg", **options)
        write("picture", f"jpeg-{name}", buffer.getvalue())
    for name, other in {
        "grey16": image.convert("I;16"),
        "palette": image.convert("P"),
        "1bit": image.convert("1"),
    }.items():
        buffer = io.BytesIO()
        other.save(buffer, "png")
        write("picture", f"png-{name}", buffer.getvalue())
    for format in PictureFormat:
        sphere = SphereMetadata(heading=12.5, pitch=-3, roll=1)
        write("wire_picture", format.name.lower(), encode_picture(small[:32, :64], format, sphere=sphere))
    write("picture", "png-sphere", encode_png(small[:32, :64], sphere=SphereMetadata(heading=12.5, pitch=-3, roll=1)))


def packets(codec: Codec, small: np.ndarray) -> None:
    """Packets with and without features, in one slice and in several; and their slices one by one."""
    kinds = {"indices": {"tau": 0.0}, "features": {"tau": 0.5}, "robust": {"tau": 0.5, "robust": True}}
    for name, options in kinds.items():
        packet = codec.encode(small, **options)
        write("packet", name, packet.to_bytes())
        slices = [piece.payload or b"" for piece in packet.slices]
        if all(len(one) < 255 for one in slices):
            write("payloads", name, b"".join(bytes([len(one)]) + one for one in slices))
    short = codec.encode(small[:32, :64], tau=0.2, robust=True)
    write("payloads", "short", b"".join(bytes([len(p.payload or b"")]) + (p.payload or b"") for p in short.slices))


def streams(codec: Codec, small: np.ndarray) -> None:
    """Pictures of a stream, predicted from its first, whole, and with a focus; and gazes."""
    for name, picture, focus in (
        ("still", small, ()),
        ("moved", np.roll(small, 5, axis=0), ()),
        ("focus", np.roll(small, 16, axis=1), (Focus(90, -10),)),
    ):
        encoder = StreamEncoder(codec, robust=True)
        FIRST_OF_STREAM.write_bytes(encoder.encode(small, bpp=0.5).to_bytes())
        encoder.acknowledge(1)
        packet = encoder.encode(picture, bpp=0.25, focus=focus)
        slices = [piece.payload or b"" for piece in packet.slices]
        write("update", name, b"".join(bytes([len(one)]) + one for one in slices))
        if name == "moved":
            lost = b"".join(b"\xff" if k == 2 else bytes([len(one)]) + one for k, one in enumerate(slices))
            write("update", "lost", lost)
    for name, gaze in {"plain": {"yaw": 30.0, "pitch": -10.0}, "wide": {"yaw": -180.0, "width": 120.0}}.items():
        message = receiver_pb2.WatchRequest(count=1, gaze=link_pb2.Gaze(**gaze))
        write("gaze", name, message.SerializeToString())


def bursts(codec: Codec, small: np.ndarray) -> None:
    """What a transmitter would send of a small panorama: coded, analogue, with pilots."""
    for name, request in {
        "coded": RateRequest(tau=0.3),
        "pilots": RateRequest(tau=0.0, pilot_spacing=8),
        "analogue": RateRequest(tau=0.5, analog=True),
    }.items():
        sent = Transmitter(codec).transmit(small[:32, :64], request)
        header = link_pb2.BurstHeader(
            burst_id="a-1",
            model_fingerprint=codec.fingerprint,
            source="seed",
            segments=segments_to_wire(sent.segments),
            sample_format=link_pb2.SAMPLE_FORMAT_CI16_LE,
            channel_state=link_pb2.ChannelState(coherence_symbols=len(sent.symbols)),
            pilot_spacing=request.pilot_spacing,
        )
        parts = list(burst_messages(Burst(header, np.ones(1, np.complex64), sent.symbols)))
        written = parts[0].header.SerializeToString()
        body = b"".join(part.csi or part.samples for part in parts[1:])
        write("burst", name, len(written).to_bytes(2, "little") + written + body)
        framed = [part.SerializeToString() for part in parts]
        if all(len(one) < 1 << 16 for one in framed):
            write("stream", name, b"".join(len(one).to_bytes(2, "little") + one for one in framed))


def messages() -> None:
    """Receipts, deliveries, requests and conditions with all their fields."""
    counts = [link_pb2.LayerSegments(layer=layer, sent=8, lost=2, recovered=1, erased=1) for layer in range(1, 5)]  # type: ignore[arg-type]
    header = link_pb2.ReceiptHeader(
        burst_id="a-1", segments=counts, snr_db=10, measured_snr_db=9.5, fading=0.5, seconds={"decode": 0.1}, rounds=1
    )
    write("receipt", "delivered", link_pb2.Receipt(header=header).SerializeToString())
    header.failure.CopyFrom(link_pb2.Failure(code=15, message="lost"))
    write("receipt", "failed", link_pb2.Receipt(header=header).SerializeToString())
    told = transmitter_pb2.DeliveryHeader(
        panorama_id="1", source="a.jpg", width=64, height=32, bpp=0.1, tokens=8, kept=2, symbols=100, segments=counts
    )
    told.adaptation.snr_db = 3.0
    told.schemes.add(layer=3, modulation=1, code_rate=0.5, segments=8)  # type: ignore[arg-type]
    write("delivery", "told", transmitter_pb2.Delivery(header=told).SerializeToString())
    for name, asked in {
        "bpp": {"bpp": 0.1},
        "deadline": {"adaptive": True, "deadline_seconds": 0.1, "harq": 2},
        "symbols": {"symbols_per_pixel": 0.2, "analogue": True},
    }.items():
        request = transmitter_pb2.PanoramaHeader(panorama_id="1", image_bytes=100, **asked)
        write("panorama_header", name, request.SerializeToString())
    wanted = channel_pb2.Conditions(model=5, snr_db=10, doppler_hz=10, seed=1)  # type: ignore[arg-type]
    wanted.scenario.phases.add(seconds=1, final_snr_db=3, changes=channel_pb2.Conditions(snr_db=10))
    write("conditions", "scenario", wanted.SerializeToString())
    traced = channel_pb2.Conditions(trace=channel_pb2.SnrTrace(times_s=[0, 1, 2], snr_db=[10, 3, 8], repeat=True))
    write("conditions", "trace", traced.SerializeToString())


def texts() -> None:
    """Scenario, trace, environment."""
    phases = '[[phase]]\nseconds = 5\nsnr_db = 20\n\n[[phase]]\nseconds = 2\nsnr_db = [20, 2]\nmodel = "jakes"\n'
    write("scenario", "fade", f"repeat = true\n\n{phases}doppler_hz = 70\n")
    write("trace", "three", "time_s,snr_db\n0.0,17.2\n0.1,16.8\n0.2,3\n")
    lines = {
        "LISTEN": "127.0.0.1:0",
        "TARGET": "127.0.0.1:1,127.0.0.1:2",
        "MAX_STREAMS": "4",
        "MODELS": "base,paper",
        "SNR_DB": "-3.5",
        "MODEL": "tdl-c",
    }
    services = ("TRANSMITTER", "CHANNEL", "RECEIVER")
    given = "".join(f"PANOLINK_{one}_{name}={value}\n" for one in services for name, value in lines.items())
    write("settings", "some", given + "PANOLINK_LOG_FORMAT=json\nPANOLINK_OTLP_ENDPOINT=http://127.0.0.1:4317\n")


def videos() -> None:
    """Boxes of an MP4 file with metadata of both versions, no frames in them, behind FFmpeg's side data."""
    properties = {
        "Spherical": "true",
        "Stitched": "true",
        "ProjectionType": "equirectangular",
        "InitialViewPitchDegrees": -3,
    }
    tags = "".join(f"<GSpherical:{name}>{value}</GSpherical:{name}>" for name, value in properties.items())
    xml = f"<rdf:SphericalVideo>{tags}</rdf:SphericalVideo>"
    track = box(b"tkhd", bytes(84)) + box(b"uuid", UUID_V1 + xml.encode())
    file = box(b"ftyp", b"isom\0\0\2\0") + box(b"mdat", bytes(16)) + box(b"moov", box(b"trak", track))
    whole, tile = (struct.pack("<4i5I", kind, 90 << 16, 0, 0, 0, 1 << 30, 1 << 31, 1 << 30, 0) for kind in (0, 2))
    write("video", "whole", whole + file)
    write("video", "tile", tile + file)
    write("video", "plain", bytes(36) + box(b"ftyp", b"isom\0\0\2\0"))


def browsers() -> None:
    """A message of each kind that the viewer's page sends."""
    for name, message in {
        "conditions": {"type": "conditions", "changes": {"model": "tdl-c", "snr_db": 7.5, "coherence_symbols": 64}},
        "scenario": {"type": "conditions", "scenario": "tunnel"},
        "gaze": {"type": "gaze", "yaw": -30.5, "pitch": 10, "fov": 90},
        "realism": {"type": "decoder", "realism": 0.5},
        "decoder": {"type": "decoder", "decoder": "fidelity"},
        "send": {"type": "send", "bitrate": 200_000, "adaptive": False, "harq": 2, "model": "base", "width": 1024},
    }.items():
        write("browser", name, json.dumps(message))


def files() -> None:
    """A weights file of a model that is as small as can be, and certificates."""
    torch.manual_seed(0)
    network = Autoencoder(Profile(name="paper", family="paper", dim=2, codes=2, encoder_channels=(1, 1, 1, 1)))
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    path = CORPUS / "weights" / "tiny"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(path, network=network, tables=fit_tables(network.eval(), [noise]), card={"data": "noise"})
    with tempfile.TemporaryDirectory() as folder:  # keys of nothing
        subject = Subject("localhost", ("localhost",))
        for one in issue_certificates(Path(folder), [subject], days=36_000, ca_days=36_500):
            write("certificates", one.cert.stem, one.cert.read_bytes() + one.key.read_bytes())
    write("certificates", "token", "0123456789abcdef0123456789abcdef\n")


if __name__ == "__main__":
    main()
