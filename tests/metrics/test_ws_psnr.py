import numpy as np

from panolink.metrics.ws_psnr import ws_psnr


def noise_image(seed: int = 0, height: int = 64, width: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 196, (height, width, 3), dtype=np.uint8)


def test_errors_at_the_poles_weigh_less():
    clean = noise_image()
    pole, equator = clean.copy(), clean.copy()
    pole[:4] += 30
    equator[30:34] += 30
    assert ws_psnr(clean, pole) > ws_psnr(clean, equator) + 6
