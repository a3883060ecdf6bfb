"""One panorama as it arrives over SNR: a picture file and a good code, and this link, at equal symbols per pixel.

python benchmarks/link/pictures_over_snr.py samples/city.webp docs/images/channel-pictures.webp
"""

import io
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import panolink
from benchmarks.lib.image_codecs import PILLOW_CODECS, encode_at
from benchmarks.link.quality_over_snr import UnderAnalogue, choice_for
from benchmarks.link.segment_loss import Air, Draw
from benchmarks.link.semantic_link import Analogue, Digital
from benchmarks.link.separate_coding import arrival, room
from panolink.images import load_panorama
from panolink.link.coding import Coding
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import Fixed
from panolink.metrics.viewport import vpsnr
from panolink.phy import Scheme

SNRS = (-5.0, 0.0, 5.0, 10.0, 20.0)
CELL = (320, 160)
LABEL = 14


def pictures(
    codec: panolink.Codec, image: np.ndarray, *, air: Air, spp: float, file: str, scheme: Scheme, snr_db: float
) -> dict[str, np.ndarray | None]:
    """What each sender delivers at an SNR; None where nothing arrives."""
    draw, pixels = Draw(air, (0, 0)), image.shape[0] * image.shape[1]
    budget = SymbolBudget.per_pixel(spp, pixels=pixels)
    data = encode_at(PILLOW_CODECS[file], image, bpp=8 * room(budget.symbols, scheme) / pixels)
    arrived = arrival(draw, len(data), scheme, snr_db) > 0.5
    out: dict[str, np.ndarray | None] = {
        f"{file}, {scheme}": np.array(Image.open(io.BytesIO(data)).convert("RGB")) if arrived else None
    }
    links = {
        "fixed": (Digital, Fixed()),
        "adaptive": (Digital, choice_for(air, snr_db)),
        "analogue": (Analogue, UnderAnalogue()),
    }
    coding = Coding(codec, image)
    for name, (make, protection) in links.items():
        out[name] = make(coding, budget, protection).receive(draw, snr_db)
    return out


def grid(columns: list[dict[str, np.ndarray | None]], titles: list[str], image: np.ndarray) -> Image.Image:
    """Senders below each other, SNRs side by side; what did not arrive is grey."""
    rows = list(columns[0])
    width, height = CELL
    sheet = Image.new("RGB", (len(columns) * width, len(rows) * (height + LABEL)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (column, title) in enumerate(zip(columns, titles, strict=True)):
        for j, name in enumerate(rows):
            x, y, picture = i * width, j * (height + LABEL), column[name]
            quality = "lost" if picture is None else f"{vpsnr(image, picture):.1f} dB"
            draw.text((x + 3, y + 1), f"{name}, {title}: {quality}", "black")
            shown = np.full_like(image, 128) if picture is None else picture
            sheet.paste(Image.fromarray(shown).resize(CELL, Image.Resampling.LANCZOS), (x, y + LABEL))
    return sheet


def main(
    panorama: Annotated[Path, typer.Argument(help="A panorama that may be shown.", exists=True)],
    picture: Annotated[Path, typer.Argument(help="Where to draw to.")],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    air: Annotated[Air, typer.Option(help="The channel.")] = Air.AWGN,
    spp: Annotated[float, typer.Option(help="Symbols per pixel.")] = 0.1,
    file: Annotated[str, typer.Option(help="The picture codec of the separate design.")] = "webp",
    scheme: Annotated[str, typer.Option(help="Its modulation and code rate.")] = "16qam 1/2",
) -> None:
    """Draw the grid."""
    codec, image = panolink.Codec.load(model), load_panorama(panorama)
    modulation, rate = scheme.split()
    numerator, denominator = rate.split("/")
    design = Scheme(modulation, int(numerator) / int(denominator))  # type: ignore[arg-type]
    columns = [pictures(codec, image, air=air, spp=spp, file=file, scheme=design, snr_db=snr_db) for snr_db in SNRS]
    picture.parent.mkdir(parents=True, exist_ok=True)
    grid(columns, [f"{snr_db:g} dB" for snr_db in SNRS], image).save(picture, quality=70)


if __name__ == "__main__":
    typer.run(main)
