import io

import numpy as np
import pytest
from PIL import Image

from panolink.images import encode_png


@pytest.mark.parametrize("shape", [(1, 1, 3), (16, 32, 3), (600, 7, 3), (1, 9), (257, 256)])
def test_our_pngs_are_pngs(shape: tuple[int, ...]):
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    smooth = np.broadcast_to(np.arange(shape[1], dtype=np.uint8).reshape(1, -1, *(1,) * (len(shape) - 2)), shape)
    for picture in (noise, smooth, np.zeros(shape, np.uint8)):
        with Image.open(io.BytesIO(encode_png(picture))) as image:
            image.load()
            assert image.format == "PNG" and image.mode == ("RGB" if len(shape) == 3 else "L")
            assert np.array_equal(np.asarray(image), picture)
