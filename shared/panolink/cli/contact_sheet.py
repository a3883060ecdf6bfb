"""Pictures of a transmission: sent, received and the activation map side by side, and a sheet of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PANEL_WIDTHS = (640, 960)
"""Least, for the labels to fit, and largest."""
SHEET_PANEL_WIDTH = 520
MARGIN = 16
BACKGROUND, INK, FAINT = (250, 250, 250), (25, 28, 36), (105, 110, 122)

# From dark to bright and evenly so for the eye, after matplotlib's "inferno" (CC0).
INFERNO = np.array(
    [
        (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85),
        (227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164),
    ],
    dtype=np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One panorama before and after transmission.

    Attributes
    ----------
    name
        What it is called above its pictures.
    sent, received
        uint8 `(H, W, 3)`.
    activation
        The activation map, uint8 `(rows, columns)`.
    caption
        Rate and quality, in one line.
    """

    name: str
    sent: np.ndarray
    received: np.ndarray
    activation: np.ndarray
    caption: str


def side_by_side(comparison: Comparison) -> np.ndarray:
    """Sent, received and activation map in a row, with labels.

    Returns
    -------
    np.ndarray
        uint8 `(height, width, 3)`.
    """
    return np.asarray(_row(comparison, min(max(comparison.sent.shape[1], PANEL_WIDTHS[0]), PANEL_WIDTHS[1]), size=24))


def contact_sheet(pictures: Sequence[Comparison], *, title: str) -> np.ndarray:
    """All panoramas, one row each below a title.

    Parameters
    ----------
    pictures
        At least one.
    title
        The line above them.

    Returns
    -------
    np.ndarray
        uint8 `(height, width, 3)`.
    """
    rows = [_row(comparison, SHEET_PANEL_WIDTH, size=17) for comparison in pictures]
    head = 56
    sheet = Image.new("RGB", (rows[0].width, head + sum(row.height for row in rows)), BACKGROUND)
    ImageDraw.Draw(sheet).text((MARGIN, head // 2 + 4), title, INK, font=_font(26), anchor="lm")
    top = head
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return np.asarray(sheet)


def coloured(activation: np.ndarray) -> np.ndarray:
    """An activation map in colours.

    Stretched so that 2 % at each end saturate; square roots, for most of a map is close to zero.

    Parameters
    ----------
    activation
        uint8 `(rows, columns)`.

    Returns
    -------
    np.ndarray
        uint8 `(rows, columns, 3)`.
    """
    low, high = np.percentile(activation, (2, 98))
    level = np.sqrt(np.clip((activation - low) / max(high - low, 1.0), 0, 1)) * (len(INFERNO) - 1)
    below = np.minimum(level.astype(np.int64), len(INFERNO) - 2)
    part = (level - below)[..., None]
    return np.rint(INFERNO[below] * (1 - part) + INFERNO[below + 1] * part).astype(np.uint8)


def _row(comparison: Comparison, width: int, *, size: int) -> Image.Image:
    """Three panels with a line of text above and the caption below."""
    height = round(width * comparison.sent.shape[0] / comparison.sent.shape[1])
    line = round(size * 1.7)
    panels = (
        (f"{comparison.name}, sent", _resized(comparison.sent, width, height)),
        ("received", _resized(comparison.received, width, height)),
        ("activation map", _resized(coloured(comparison.activation), width, height, Image.Resampling.NEAREST)),
    )
    row = Image.new("RGB", (3 * width + 4 * MARGIN, height + line + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(row)
    for column, (label, picture) in enumerate(panels):
        left = MARGIN + column * (width + MARGIN)
        row.paste(picture, (left, line))
        draw.text((left, line // 2), label, INK, font=_font(size), anchor="lm")
        if column == 1:
            room = width - _font(size).getlength(label) - size
            small = min(size, max(8, int(size * room / _font(size).getlength(comparison.caption))))
            draw.text((left + width, line // 2), comparison.caption, FAINT, font=_font(small), anchor="rm")
        if column == 2:
            _scale(draw, row, left + width, line // 2, size)
    return row


def _scale(draw: ImageDraw.ImageDraw, row: Image.Image, right: int, middle: int, size: int) -> None:
    """What the colours mean: a bar from what the codebook describes well to what it does not."""
    font, gap = _font(round(size * 0.85)), size // 2
    high, low = "badly", "codebook describes it well"
    draw.text((right, middle), high, FAINT, font=font, anchor="rm")
    right -= round(font.getlength(high)) + gap
    bar = coloured(np.square(np.linspace(0, 255**0.5, 256))[None].astype(np.uint8))
    width, height = 7 * size, round(size * 0.7)
    row.paste(Image.fromarray(bar).resize((width, height)), (right - width, middle - height // 2))
    draw.text((right - width - gap, middle), low, FAINT, font=font, anchor="rm")


def _resized(
    picture: np.ndarray, width: int, height: int, method: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    image = Image.fromarray(picture)
    return image if image.size == (width, height) else image.resize((width, height), method)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
