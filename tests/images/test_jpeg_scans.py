"""Scans of a JPEG file are counted, and so are those of nothing else."""

import io

import numpy as np
import pytest
from PIL import Image

from panolink.errors import LimitError
from panolink.images.jpeg_scans import MAX_SCANS, check_scans
from tests.images.pictures import many_scans


def test_files_of_encoders_pass_and_those_with_too_many_scans_do_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    check_scans(many_scans(noise, 1), "camera.jpg")
    with pytest.raises(LimitError, match=rf"bomb\.jpg: JPEG of \d+ scans, at most {MAX_SCANS} are allowed"):
        check_scans(many_scans(noise, MAX_SCANS), "bomb.jpg")


def test_other_files_have_none() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 32)).save(file, "PNG")
    check_scans(file.getvalue() + b"\xff\xda" * 1000, "a.png")
