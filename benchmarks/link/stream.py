"""Streams of panoramas: predicted beside single pictures, JPEG frames, x265 and SVT-AV1; in clear air and in fades.

    python benchmarks/link/stream.py PART FOLDER --results results/stream
    python benchmarks/link/stream_page.py results/stream

FOLDER has the panoramas; PART is one of

    rate    VPSNR over the bit rate, picture by picture, and how much still regions flicker, of each `--scene`, and of
            videos (`--clip`); scenes that were measured with the same settings before stay
    focus   PSNR in the viewport with a focus, and along recorded movements of heads (`--heads heads.csv`)
    loss    a fifth of the slices lost in every picture; nothing arriving for a second
    air     the same number of symbols a picture through Rayleigh fading and through a deep fade
    cost    time a picture, as a single one and as one of a stream with a focus

Each writes RESULTS/PART.json. Panoramas are scaled to `--width`; streams have `--pictures` pictures at 10 a second.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib import video_codecs
from benchmarks.lib.panoramas import at_width, picture_files
from benchmarks.lib.revisions import PACKAGE, of_code, of_measures
from benchmarks.lib.video_codecs import coded_video, jpeg_frames
from benchmarks.link.stream_air import through_the_air
from benchmarks.link.stream_scenes import SCENES, clip, direction, heads, scene
from panolink.codec.bitstream import Packet
from panolink.codec.codec import Codec
from panolink.codec.streaming.decoder import StreamDecoder
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.errors import PanolinkError, RateError
from panolink.images import Failure, panoramas_in
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.metrics.viewport import vpsnr
from panolink.rpc.wire.gazes import DEGREES_PER_SECOND
from panolink.sphere.focus import DEFAULT_WIDTH, Focus
from panolink.sphere.viewports import view_coordinates

FPS = 10.0
KILOBITS = (50, 100, 200, 500)
MEASURED = (0, 1, 3, 7, 11, 15, 19, 23, 27, 29)
"""pictures of a stream that are compared with what was sent"""
FOCUS_BPP = (0.05, 0.1, 0.2)
DELAYS = (0.1, 0.3)
"""seconds from where a head is to the picture that is made for it"""

Result = dict[str, Any]


class Measured:
    """VPSNR of some pictures of a stream, its bits, and how much of it flickers."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self._sent, self._seen = pictures, dict[int, np.ndarray]()
        self.bits: list[float] = []

    def see(self, number: int, bits: float, picture: Callable[[], np.ndarray]) -> None:
        """Note a picture; it is decoded only where it is measured, or flicker is."""
        self.bits.append(bits)
        if number in MEASURED or number >= len(self._sent) - 8:
            self._seen[number] = picture()

    def result(self) -> Result:
        """Bits a second, VPSNR by picture, and the standard deviation in time of the last eight pictures."""
        last = np.stack([self._seen[n] for n in sorted(self._seen) if n >= len(self._sent) - 8]).astype(np.float32)
        return {
            "bits_per_second": float(np.mean(self.bits) * FPS),
            "pictures": [n for n in sorted(self._seen) if n in MEASURED],
            "vpsnr_db": [vpsnr(self._sent[n], self._seen[n]) for n in sorted(self._seen) if n in MEASURED],
            "flicker": float(last.std(axis=0).mean()),
        }


def as_singles(codec: Codec, pictures: list[np.ndarray], bpp: float, *, robust: bool = False) -> Result | None:
    """Each picture alone, as a file or (``robust``) in slices that decode alone; None where none goes so low."""
    measured, pixels = Measured(pictures), pictures[0].shape[0] * pictures[0].shape[1]
    for number, picture in enumerate(pictures):
        if number not in MEASURED and number < len(pictures) - 8:
            measured.bits.append(bpp * pixels)
            continue
        try:
            packet = codec.encode(picture, bpp=bpp, robust=robust)
        except RateError:
            return None
        measured.see(number, packet.bpp * pixels, lambda packet=packet: codec.decode(packet))
    return measured.result()


def as_stream(codec: Codec, pictures: list[np.ndarray], bpp: float) -> Result:
    """With a mean rate, all of which arrives."""
    measured = Measured(pictures)
    for number, (bits, picture) in enumerate(sent_as_stream(codec, pictures, bpp)):
        measured.see(number, bits, picture)
    return measured.result()


def sent_as_stream(
    codec: Codec, pictures: Sequence[np.ndarray], bpp: float
) -> Iterator[tuple[float, Callable[[], np.ndarray]]]:
    """The bits of each picture of a stream with a mean rate, and what decodes it."""
    stream, decoder, transmitter = StreamEncoder(codec, robust=True), StreamDecoder(codec), Transmitter(codec)
    for picture in pictures:
        sent = transmitter.transmit(picture, RateRequest(mean_bpp=bpp), stream=stream)
        state = decoder.update(Packet.from_payloads([*_payloads(sent)]))
        stream.acknowledge(sent.number)
        yield sent.bpp * picture.shape[0] * picture.shape[1], lambda state=state: codec.reconstruct([state.tokens()])[0]


def _payloads(sent: Any) -> Iterable[bytes | None]:
    payloads = iter(sent.payloads)
    for segment in sent.segments:
        yield None if segment.unsent else (next(payloads) if segment.format else b"")


def as_video(name: str, pictures: list[np.ndarray], bits_per_second: float) -> Result:
    """Another codec's stream."""
    measured = Measured(pictures)
    if name == "jpeg":
        coded = jpeg_frames(pictures, bits_per_second / FPS)
    else:
        coded = coded_video(pictures, name, bits_per_second, fps=FPS)
    for number, (packet, picture) in enumerate(zip(coded.packets, coded.pictures, strict=True)):
        measured.see(number, 8 * len(packet), lambda picture=picture: picture)
    return measured.result()


def rate(codec: Codec, given: list[list[np.ndarray]]) -> Result:
    """A scene, of each panorama, or a clip, at each bit rate and as each of the codecs."""
    found: Result = {}
    for kilobits in KILOBITS:
        rows: dict[str, list[Result]] = {}
        for pictures in given:
            bpp = 1000 * kilobits / FPS / (pictures[0].shape[0] * pictures[0].shape[1])
            rows.setdefault("stream", []).append(as_stream(codec, pictures, bpp))
            for name, robust in (("single", False), ("sliced", True)):
                if single := as_singles(codec, pictures, bpp, robust=robust):
                    rows.setdefault(name, []).append(single)
            for other in ("jpeg", "x265", "svt-av1"):
                rows.setdefault(other, []).append(as_video(other, pictures, 1000 * kilobits))
        found[str(kilobits)] = rows
        summary = {who: f"{np.mean([row['vpsnr_db'][-1] for row in of]):.2f}" for who, of in rows.items()}
        print(kilobits, "kbit/s:", summary, file=sys.stderr, flush=True)
    spread = [np.stack(pictures[-8:]).astype(np.float32).std(axis=0).mean() for pictures in given]
    found["source flicker"] = float(np.mean(spread))
    found["single curve"] = [_single_curve(codec, pictures[-1]) for pictures in given]
    return found


def _single_curve(codec: Codec, picture: np.ndarray) -> list[tuple[float, float]]:
    """Bits per pixel and VPSNR of a single picture, to tell what a stream saves."""
    packets = [codec.encode(picture, bpp=bpp) for bpp in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)]
    return [(packet.bpp, vpsnr(picture, codec.decode(packet))) for packet in packets]


def view(picture: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """The viewport 90° wide at a direction in degrees, float32 (3, 171, 256)."""
    longitude, latitude = view_coordinates(yaw, pitch)
    height, width = picture.shape[:2]
    wrapped = F.pad(torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None], (1, 1, 0, 0), mode="circular")
    x = ((longitude / (2 * np.pi) + 0.5) * width - 0.5) % width + 1
    y = (0.5 - latitude / np.pi) * height - 0.5
    grid = torch.stack([2 * x / (width + 1) - 1, 2 * y / (height - 1) - 1], dim=-1)[None].float()
    return F.grid_sample(wrapped, grid, align_corners=True, padding_mode="border")[0].numpy()


def view_psnr(sent: np.ndarray, received: np.ndarray, yaw: float, pitch: float) -> float:
    """PSNR in the viewport, dB."""
    error = float(np.mean((view(sent, yaw, pitch) - view(received, yaw, pitch)) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def focus(codec: Codec, panoramas: dict[str, np.ndarray], movements: dict | None, moments: int) -> Result:
    """Gain in the viewport that the focus is on, and along heads: the focus is where the head was."""
    found: Result = {"fixed": {}, "heads": {}}
    pictures = list(panoramas.values())
    for bpp in FOCUS_BPP:
        gains, behind = [], []
        for picture in pictures:
            uniform = codec.decode(codec.encode(picture, bpp=bpp))
            for yaw, pitch in ((0, 0), (120, -10), (-120, 20)):
                fine = codec.decode(codec.encode(picture, bpp=bpp, focus=[Focus(yaw, pitch)]))
                for gain, at in ((gains, (yaw, pitch)), (behind, (yaw + 180, -pitch))):
                    gain.append(view_psnr(picture, fine, *at) - view_psnr(picture, uniform, *at))
        found["fixed"][str(bpp)] = {"gain_db": gains, "behind_db": behind}
        print(
            "focus at",
            bpp,
            f"bpp: {np.mean(gains):+.2f} dB, behind {np.mean(behind):+.2f}",
            file=sys.stderr,
            flush=True,
        )
    if movements:
        rng, tracks = np.random.default_rng(0), list(movements.values())
        uniform = [codec.decode(codec.encode(picture, bpp=0.1)) for picture in pictures]
        for delay in DELAYS:
            gains = []
            for number in range(moments):
                head, which = tracks[rng.integers(len(tracks))], number % len(pictures)
                now = rng.uniform(head[0, 0] + 1, head[-1, 0])
                seen, told = direction(head, now), direction(head, now - delay)
                width = DEFAULT_WIDTH + 2 * DEGREES_PER_SECOND * delay  # as the transmitter widens it
                packet = codec.encode(pictures[which], bpp=0.1, focus=[Focus(*told, width)])
                fine = view_psnr(pictures[which], codec.decode(packet), *seen)
                gains.append(fine - view_psnr(pictures[which], uniform[which], *seen))
            found["heads"][str(delay)] = gains
            least = np.quantile(gains, 0.05)
            print(
                f"heads {delay} s late: {np.mean(gains):+.2f} dB, a twentieth below {least:+.2f}",
                file=sys.stderr,
                flush=True,
            )
    return found


def loss(codec: Codec, panoramas: dict[str, np.ndarray], count: int) -> Result:
    """Still streams of 0.05 bpp: nothing lost, a fifth of the slices of every picture, and ten pictures whole."""
    found: Result = {"none": [], "fifth": [], "second": [], "single none": [], "single fifth": []}
    for place, panorama in enumerate(panoramas.values()):
        pictures = list(scene(panorama, "still", count))
        for kind in ("none", "fifth", "second"):
            stream, decoder = StreamEncoder(codec, robust=True), StreamDecoder(codec)
            rng, shown, scores = np.random.default_rng(place), None, []
            for number, picture in enumerate(pictures):
                packet = stream.encode(picture, bpp=0.05 if number else 0.1)
                own = packet.header.stream.number if packet.header.stream else 0
                gone = {0} if kind == "second" and 8 <= number < 18 else set[int]()
                if kind == "fifth" and number:
                    gone = {k for k in range(1, len(packet.slices)) if rng.random() < 0.2}
                stream.acknowledge(own, gone)
                if 0 not in gone:
                    payloads = [None if k in gone else piece.payload for k, piece in enumerate(packet.slices)]
                    shown = codec.reconstruct([decoder.update(Packet.from_payloads(payloads)).tokens()])[0]
                assert shown is not None
                scores.append(vpsnr(picture, shown))
            found[kind].append(scores)
        rng = np.random.default_rng(place)
        packet = codec.encode(pictures[0], bpp=0.05, robust=True)
        found["single none"].append(vpsnr(pictures[0], codec.decode(packet)))
        lossy = []
        for _ in range(5):
            payloads = [None if k and rng.random() < 0.2 else piece.payload for k, piece in enumerate(packet.slices)]
            lossy.append(vpsnr(pictures[0], codec.decode(Packet.from_payloads(payloads))))
        found["single fifth"].append(float(np.mean(lossy)))
        last = {kind: f"{np.mean(found[kind][-1][-8:]):.2f}" for kind in ("none", "fifth", "second")}
        print("loss:", last, file=sys.stderr, flush=True)
    return found


def cost(codec: Codec, panoramas: dict[str, np.ndarray], count: int) -> Result:
    """Seconds to encode and to decode a picture, by turns in one run."""
    found: Result = {"single": [], "stream": []}
    for panorama in panoramas.values():
        stream, decoder = StreamEncoder(codec, robust=True), StreamDecoder(codec)
        for picture in scene(panorama, "still", count):
            began = time.perf_counter()
            packet = codec.encode(picture, bpp=0.05, robust=True)
            middle = time.perf_counter()
            codec.decode(packet)
            found["single"].append([middle - began, time.perf_counter() - middle])
            began = time.perf_counter()
            packet = stream.encode(picture, bpp=0.05, focus=[Focus(30, 0)])
            middle = time.perf_counter()
            decoder.decode(packet)
            found["stream"].append([middle - began, time.perf_counter() - middle])
            stream.acknowledge(packet.header.stream.number if packet.header.stream else 0)
    return found


PARTS = ("rate", "focus", "loss", "air", "cost")


def measured_before(file: Path, settings: Result) -> Result:
    """Scenes of ``rate`` that were measured with the same settings; `PanolinkError` where ``file`` has others, since a
    file tells one set of settings for all that it holds."""
    if not file.exists():
        return {}
    before = json.loads(file.read_text())
    if other := [name for name in settings if before.get(name) != settings[name]]:
        raise PanolinkError(f"{file} has scenes of another {', '.join(other)}: remove it, or give other --results")
    return before["found"]


def main(
    part: Annotated[str, typer.Argument(help=f"One of {', '.join(PARTS)}.")],
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.", exists=True, file_okay=False)],
    results: Annotated[Path, typer.Option(help="Where PART.json is written.")] = Path("results/stream"),
    width: Annotated[int, typer.Option(help="Scale to this width first (Lanczos).")] = 1024,
    every: Annotated[int, typer.Option(help="Only each so-many-th panorama, sorted by name, from the first on.")] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first N of these.")] = None,
    pictures: Annotated[int, typer.Option(help="Pictures of a stream.", min=10)] = 30,
    scenes: Annotated[list[str] | None, typer.Option("--scene", help=f"Of `rate`: {', '.join(SCENES)}; all.")] = None,
    clips: Annotated[list[Path] | None, typer.Option("--clip", help="Videos, as scenes of `rate`.")] = None,
    traces: Annotated[Path | None, typer.Option("--heads", help="Recorded movements of heads, for `focus`.")] = None,
    moments: Annotated[int, typer.Option(help="Of heads, for each delay.")] = 60,
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
) -> None:
    """Measure one part."""
    if part not in PARTS:
        raise typer.BadParameter(f"unknown part {part!r}; there are {', '.join(PARTS)}")
    codec = Codec.load(model)
    codec.warm_up()
    files = picture_files(folder, every=every, limit=limit)
    panoramas: dict[str, np.ndarray] = {}
    for loaded in panoramas_in(files):
        if isinstance(loaded, Failure):
            raise PanolinkError(str(loaded.error))
        panoramas[Path(loaded.name).stem] = at_width(loaded, width)
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{part}.json"
    settings = {
        "part": part,
        "width": width,
        "pictures": pictures,
        "model": f"{model}-{codec.fingerprint}",
        "code": of_code(
            source for package in ("codec", "link") for source in sorted((PACKAGE / package).rglob("*.py"))
        ),
        "panoramas": list(panoramas),
        "others": f"{video_codecs.version()}, scores {of_measures()}",
    }
    if part == "rate":  # scene by scene: what is there already stays
        found = measured_before(file, settings)
        size = (width // 4 * 2, width // 2 * 2)
        given = {name: [list(scene(p, name, pictures)) for p in panoramas.values()] for name in scenes or SCENES}
        given |= {path.stem: [clip(path, pictures, fps=FPS, size=size)] for path in clips or []}
        for name, streams in given.items():
            print(name, file=sys.stderr)
            found[name] = rate(codec, streams)
    elif part == "focus":
        found = focus(codec, panoramas, heads(traces) if traces else None, moments)
    elif part == "loss":
        found = loss(codec, panoramas, pictures)
    elif part == "air":
        found = through_the_air(codec, panoramas, pictures)
    else:
        found = cost(codec, panoramas, pictures)
    file.write_text(json.dumps({**settings, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
