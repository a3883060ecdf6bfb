from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from benchmarks.codec.seam import main, measure, summary
from panolink import Codec, load_panorama
from panolink.images import save_image

FACTOR = 16


def noisy(image: np.ndarray, *, seam: float) -> np.ndarray:
    """A picture with errors that follow its content, ``seam`` times as large in the four columns beside its edge."""
    rng = np.random.default_rng(0)
    error = rng.normal(size=image.shape) * (1 + image / 16)
    error[:, :4] *= seam
    error[:, -4:] *= seam
    return np.clip(image + error, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("seam", [1.0, 1.2])
def test_a_seam_is_found_whatever_the_picture(panorama: np.ndarray, seam: float):
    found = summary([measure(lambda x: noisy(x, seam=seam), panorama, factor=FACTOR, turns=16, strip=4)])
    assert found["ratio"] == pytest.approx(seam**2, rel=0.1)
    assert found["low"] <= found["ratio"] <= found["high"]
    assert found["plain_ratio"] == pytest.approx(seam**2, rel=0.2)


def test_a_width_that_cannot_be_turned_is_told_before_anything_is_coded(tmp_path: Path, panorama: np.ndarray):
    save_image(np.tile(panorama, (1, 2, 1))[:100, :200], tmp_path / "a.png")
    with pytest.raises(typer.BadParameter, match="200 wide; a multiple of 16 can be turned"):
        main(tmp_path, bpp=[0.1])


@pytest.mark.slow
@pytest.mark.parametrize(("bpp", "reduction"), [(0.1, 1), (0.4, 1), (0.06, 2)])
def test_the_shipped_weights_leave_no_seam(samples, bpp: float, reduction: int):
    """Less than 2 % more error beside the edge than in the same place of the picture when the edge is elsewhere."""
    codec = Codec.load("base", device="cpu")

    def code(image: np.ndarray) -> np.ndarray:
        return codec.decode(codec.encode(image, bpp=bpp, reduction=Fraction(reduction)))

    seams = []
    for path in samples[:3]:
        image = np.array(Image.fromarray(load_panorama(path)).resize((256, 128), Image.Resampling.LANCZOS))
        seams.append(measure(code, image, factor=16 * reduction, turns=16 // reduction, strip=4))
    found = summary(seams)
    assert 0.98 < found["ratio"] < 1.02
    assert 0.98 < found["plain_ratio"] < 1.02
