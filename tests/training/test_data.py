import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panolink.errors import ImageError
from panolink.training.data import CropStream, PanoramaCache, held_out, random_crop, table_of, validation_files

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


def pictures(folder: Path, names: list[str], colour: int = 0) -> Path:
    from PIL import Image

    folder.mkdir()
    for name in names:
        Image.new("RGB", (32, 16), (colour, 0, 0)).save(folder / f"{name}.png")
    return folder


def test_a_dot_in_a_folders_name_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first, second = (pictures(tmp_path / f"panos.v{i}", ["a", "b", "c", "d"], i) for i in (1, 2))
    (tmp_path / "panos.v2.csv").write_text("id,group\na,x\nb,x\nc,x\nd,x\n")
    caches = [PanoramaCache(folder, tmp_path / "cache") for folder in (first, second)]
    assert [int(cache.panorama(0)[0, 0, 0]) for cache in caches] == [1, 2]
    assert [len(cache.split()[0]) for cache in caches] == [3, 0], "the second's are of one source"
    monkeypatch.chdir(first)
    assert PanoramaCache(Path("."), tmp_path / "cache").name == "panos.v1"
    assert table_of(Path(".")) == tmp_path / "panos.v1.csv"


def test_a_cache_is_found_again(tmp_path: Path):
    """By these names; those of large sets take gigabytes."""
    PanoramaCache(pictures(tmp_path / "one", ["a", "b"]), tmp_path / "cache", max_width=64)
    found = sorted(file.name for file in (tmp_path / "cache").iterdir())
    stem = found[0].removesuffix(".json")
    assert re.fullmatch("one-64-[0-9a-f]{12}", stem) and found == [f"{stem}.json", f"{stem}.u8"]


def test_marked_panoramas_are_held_out_whatever_else_is_there(tmp_path: Path):
    names = ["pano0078", *(f"p{i:02}" for i in range(40))]
    folder = pictures(tmp_path / "packed", names)
    marked = {"p07": "1", "p03": "1"}
    order = [*marked, *(name for name in names if name not in marked)]
    rows = [f"{name},source{int(name[-2:]) // 2},{marked.get(name, '')}" for name in order]
    (tmp_path / "packed.csv").write_text("\n".join(["id,group,held_out", *rows]))
    cache = PanoramaCache(folder, tmp_path / "cache")
    training, validation = cache.split()
    assert [cache.ids[i] for i in validation] == ["p07", "p03", "pano0078"]
    assert not {"p06", "p02"} & {cache.ids[i] for i in training}, "the other one of their source"
    assert [path.stem for path in validation_files(folder)] == ["p03", "p07", "pano0078"]


def test_fewer_panoramas_are_held_out_as_all_were(tmp_path: Path):
    """As a rehearsal on a few does: a split by sources of what is left would be another."""
    cache = PanoramaCache(pictures(tmp_path / "panoramas", [f"p{i:02}" for i in range(60)]), tmp_path / "cache")
    training, validation = cache.split()
    before = [cache.ids[i] for i in validation]
    cache.keep(training[:3] + validation)
    training, validation = cache.split()
    assert [cache.ids[i] for i in validation] == before and len(before) == 3 and len(training) == 3


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


def test_panoramas_are_read_as_the_transmitter_reads_them(tmp_path: Path):
    folder = tmp_path / "panoramas"
    folder.mkdir()
    Image.fromarray(np.full((32, 64), 32767, np.uint16)).save(folder / "grey.png")
    assert np.unique(PanoramaCache(folder, tmp_path / "cache").panorama(0)).tolist() == [127]
    Image.new("RGB", (32, 48)).save(folder / "portrait.png")
    with pytest.raises(ImageError, match=r"portrait\.png: .*2:1"):
        PanoramaCache(folder, tmp_path / "cache")
    Image.effect_noise((64, 32), 50).save(folder / "portrait.png")
    cut = (folder / "portrait.png").read_bytes()
    (folder / "portrait.png").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(ImageError, match=r"portrait\.png"):
        PanoramaCache(folder, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_table_without_the_columns(tmp_path: Path):
    folder = tmp_path / "panoramas"
    folder.mkdir()
    Image.new("RGB", (64, 32)).save(folder / "a.png")
    (tmp_path / "panoramas.csv").write_text("file,tour\na,1\n")
    with pytest.raises(ImageError, match=r"panoramas\.csv: its columns are file, tour; wanted are id and group"):
        PanoramaCache(folder, tmp_path / "cache")


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
