from pathlib import Path

from panolink.images import Failure, panoramas_in, save_image
from tests.images.pictures import PICTURE, write_video


def test_a_bad_file_does_not_stop_the_rest(tmp_path: Path):
    save_image(PICTURE, tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"nonsense")
    write_video(tmp_path / "3.mp4")
    (tmp_path / "4.mp4").write_bytes(b"nonsense")
    save_image(PICTURE, tmp_path / "5.webp")
    (tmp_path / "notes.txt").write_text("not looked at")
    found = list(panoramas_in([tmp_path, tmp_path / "absent.jpg"]))
    names = [Path(item.name).name for item in found]
    assert names == ["1.png", "2.png", "3.mp4#0001", "3.mp4#0002", "3.mp4#0003", "4.mp4", "5.webp", "absent.jpg"]
    failed = [Path(item.name).name for item in found if isinstance(item, Failure)]
    assert failed == ["2.png", "4.mp4", "absent.jpg"]


def test_an_empty_folder_says_so(tmp_path: Path):
    (item,) = panoramas_in([tmp_path])
    assert isinstance(item, Failure) and "no images or videos" in str(item.error)
