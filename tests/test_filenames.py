import pytest

from panolink.filenames import file_stem


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("samples/city.webp", "city"),
        ("clip.mp4#0001", "clip_0001"),
        ("../../etc/passwd", "passwd"),
        ("..", "panorama"),
        ("", "panorama"),
        ("a b/ç d?.png", "ç_d_"),
        ("x" * 300, "x" * 160),
        ("森" * 100, "森" * 53),
        ("x" + "." * 159 + "森" * 4 + ".png", "森" * 4),
    ],
)
def test_file_names_lead_nowhere_else(source: str, stem: str):
    assert file_stem(source) == stem
