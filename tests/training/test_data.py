from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.errors import ImageError
from panolink.training.data import CropStream, PanoramaCache, held_out, random_crop

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def test_split_keeps_sources_together(tmp_path: Path):
    from PIL import Image

    folder = tmp_path / "panoramas"
    folder.mkdir()
    rows = ["id,group"]
    for number in range(40):
        Image.new("RGB", (32, 16), (number, 0, 0)).save(folder / f"p{number:02}.png")
        rows.append(f"p{number:02},site{number // 4}")
    (tmp_path / "panoramas.csv").write_text("\n".join(rows))
    cache = PanoramaCache(folder, tmp_path / "cache")
    training, validation = cache.split()
    assert sorted(training + validation) == list(range(40))
    assert validation and not {i // 4 for i in training} & {i // 4 for i in validation}
    assert (cache.panorama(7)[..., 0] == 7).all()


def test_several_folders_are_one_set(tmp_path: Path):
    from PIL import Image

    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for name in ("pano0078", "own") if number else ("pano0000", "pano0113"):
            Image.new("RGB", (32, 16), (number, 0, 0)).save(folder / f"{name}.png")
    (tmp_path / "one.csv").write_text("id,group\npano0000,a\npano0113,b\n")
    cache = PanoramaCache(folders, tmp_path / "cache")
    assert len(cache) == 4 and cache.name == "one and two"
    assert [int(cache.panorama(i)[0, 0, 0]) for i in range(4)] == [0, 0, 1, 1]
    training, validation = cache.split()
    assert [cache.ids[i] for i in validation] == ["pano0113", "pano0078"], "those that the list names, in its order"
    assert [cache.ids[i] for i in training] == ["pano0000", "own"]
    cache.keep([0, 2])
    assert cache.ids == ["pano0000", "own"] and cache.panorama(1)[0, 0, 0] == 1
    (tmp_path / "two" / "own.png").rename(tmp_path / "two" / "pano0000.png")
    with pytest.raises(ImageError, match="two panoramas are called 'pano0000'"):
        PanoramaCache(folders, tmp_path / "cache")


def test_nothing_of_a_listed_panoramas_source_is_trained_on():
    assert held_out(["pano0078", "x", "y"], {"pano0078": "a", "x": "a", "y": "b"}) == [0]


def test_large_panoramas_are_drawn_more_often_and_whole(tmp_path: Path):
    from PIL import Image

    folder = tmp_path / "panoramas"
    folder.mkdir()
    Image.new("RGB", (64, 32), (10, 0, 0)).save(folder / "small.png")
    Image.new("RGB", (192, 96), (20, 0, 0)).save(folder / "large.png")
    stream = CropStream(PanoramaCache(folder, tmp_path / "cache"), [0, 1], size=16, batch=400, native_share=1.0)
    pixels, latitude, _ = next(iter(stream))
    large = pixels[:, 0, 0, 0] == 20
    assert float(large.float().mean()) == pytest.approx(0.9, abs=0.05)
    spans = (latitude[:, 0] - latitude[:, -1]) / (15 * np.pi)
    assert torch.allclose(spans[large], torch.tensor(1 / 96)) and torch.allclose(spans[~large], torch.tensor(1 / 32))


def test_a_folder_without_panoramas(tmp_path: Path):
    with pytest.raises(ImageError, match="no panoramas there"):
        PanoramaCache(tmp_path, tmp_path / "cache")


def test_crops_know_their_latitude(cache: PanoramaCache):
    random = np.random.default_rng(0)
    panorama = np.zeros((128, 256, 3), dtype=np.uint8)
    panorama[...] = np.arange(128, dtype=np.uint8)[:, None, None]  # each row is its own number
    weights = []
    for _ in range(200):
        crop = random_crop(panorama, 32, random, scales=(1.0, 1.0))
        expected = np.pi * (0.5 - (crop.pixels[:, 0, 0].astype(float) + 0.5) / 128)
        np.testing.assert_allclose(crop.latitude, expected, atol=0.01)
        weights.append(crop.weight)
    assert 0.7 < np.mean(weights) < 1.4
