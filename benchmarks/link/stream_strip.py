"""A stream as people see it: one view of a still scene, from picture to picture, as each of the senders shows it.

python benchmarks/link/stream_strip.py shared/panolink/samples/city.webp docs/images/stream_strip.webp
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.video_codecs import coded_video, jpeg_frames
from benchmarks.link.stream import FPS, sent_as_stream, view, view_psnr
from benchmarks.link.stream_scenes import scene
from panolink.codec.codec import Codec
from panolink.images import load_panorama, resized

SHOWN = (0, 7, 14, 29)
"""pictures of the stream, from 0"""
CELL, LABEL = (256, 171), 14


def senders(codec: Codec, pictures: list[np.ndarray], bits_per_second: float) -> dict[str, list[np.ndarray]]:
    """What each of them shows of the pictures `SHOWN`."""
    bits = bits_per_second / FPS
    bpp = bits / (pictures[0].shape[0] * pictures[0].shape[1])
    stream = enumerate(sent_as_stream(codec, pictures[: SHOWN[-1] + 1], bpp))
    shown = {"stream": [decoded() for number, (_, decoded) in stream if number in SHOWN]}
    shown["single pictures"] = [codec.decode(codec.encode(pictures[number], bpp=bpp)) for number in SHOWN]
    for name, coded in (
        ("JPEG frames", jpeg_frames(pictures, bits)),
        ("x265", coded_video(pictures, "x265", bits_per_second, fps=FPS)),
    ):
        shown[name] = [coded.pictures[number] for number in SHOWN]
    return shown


def strip(
    sent: list[np.ndarray], shown: dict[str, list[np.ndarray]], yaw: float, pitch: float, title: str
) -> Image.Image:
    """Senders below each other, time from left to right, and what was sent on top."""
    rows = {"sent": [sent[number] for number in SHOWN], **shown}
    width, height = CELL
    sheet = Image.new("RGB", (len(SHOWN) * width, len(rows) * (height + LABEL)), "white")
    draw = ImageDraw.Draw(sheet)
    for j, (name, pictures) in enumerate(rows.items()):
        for i, picture in enumerate(pictures):
            x, y, original = i * width, j * (height + LABEL), sent[SHOWN[i]]
            quality = "" if name == "sent" else f": {view_psnr(original, picture, yaw, pitch):.1f} dB"
            draw.text((x + 3, y + 1), f"{name}{'' if j else f', {title}'}, picture {SHOWN[i] + 1}{quality}", "black")
            seen = view(picture, yaw, pitch).transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8)
            sheet.paste(Image.fromarray(seen).resize(CELL, Image.Resampling.LANCZOS), (x, y + LABEL))
    return sheet


def main(
    panorama: Annotated[Path, typer.Argument(help="A panorama that may be shown.", exists=True)],
    picture: Annotated[Path, typer.Argument(help="Where to draw to.")],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    kilobits: Annotated[float, typer.Option(help="Of each sender, kbit/s.")] = 100.0,
    yaw: Annotated[float, typer.Option(help="Of the view, degrees to the right.")] = 0.0,
    pitch: Annotated[float, typer.Option(help="Degrees above the horizon.")] = 0.0,
) -> None:
    """Draw the strip."""
    codec = Codec.load(model)
    pictures = list(scene(resized(load_panorama(panorama), (512, 1024)), "still", SHOWN[-1] + 1))
    shown = senders(codec, pictures, 1000 * kilobits)
    picture.parent.mkdir(parents=True, exist_ok=True)
    strip(pictures, shown, yaw, pitch, f"{kilobits:g} kbit/s").save(picture, quality=75)


if __name__ == "__main__":
    typer.run(main)
