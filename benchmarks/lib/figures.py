"""Figures as files that stay the same from one run to the next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: Figure, picture: Path) -> None:
    """As PNG and as SVG, where text stays text and nothing changes from one run to the next."""
    from matplotlib import rc_context

    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture.with_name(picture.name + ".png"), dpi=90)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "panolink"}):
        figure.savefig(picture.with_name(picture.name + ".svg"), metadata={"Date": None})
