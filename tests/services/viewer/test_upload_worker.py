"""What an upload holds: a picture, or a video's frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panolink.errors import LimitError
from panolink.services.viewer.upload_worker import pictures
from tests.images.pictures import encoded, many_scans, write_video


def asked(path: Path, **options: Any) -> dict[str, Any]:
    return {"path": str(path), "name": "mine", "width": None, "fps": None, "max_pixels": 1 << 20} | options


def test_a_picture_and_the_frames_of_a_video_at_the_width_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(encoded(np.full((32, 64, 3), 90, np.uint8)))
    (picture,) = pictures(asked(tmp_path / "a", width=32))
    assert picture.array.shape == (16, 32, 3)
    write_video(tmp_path / "v.mp4", frames=3)
    assert len(list(pictures(asked(tmp_path / "v.mp4")))) == 3


def test_scans_are_counted_but_those_of_motion_jpeg(tmp_path: Path) -> None:
    flat = np.full((32, 64, 3), 90, np.uint8)
    (tmp_path / "bomb.jpg").write_bytes(many_scans(flat, 400))
    with pytest.raises(LimitError, match="mine: JPEG of 4"):
        next(pictures(asked(tmp_path / "bomb.jpg")))
    (tmp_path / "camera.mjpg").write_bytes(encoded(flat, "JPEG") * 300)
    assert next(pictures(asked(tmp_path / "camera.mjpg"))).array.shape == (32, 64, 3)
