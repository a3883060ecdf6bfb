from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panolink.training.data import PanoramaCache
from panolink.training.device_crops import DeviceCrops, DevicePanoramas, turned

CPU = torch.device("cpu")


@pytest.fixture
def cache(panorama: np.ndarray, tmp_path: Path) -> PanoramaCache:
    """Two panoramas, 256 and 128 pixels wide."""
    folder = tmp_path / "panoramas"
    folder.mkdir()
    Image.fromarray(panorama).save(folder / "a.png")
    Image.fromarray(panorama).resize((128, 64)).save(folder / "b.png")
    return PanoramaCache(folder, tmp_path / "cache")


def crops(cache: PanoramaCache, indices: list[int], **settings) -> DeviceCrops:
    panoramas = DevicePanoramas(cache, indices, least_scale=0.4, device=CPU)
    return DeviceCrops(panoramas, **{"size": 32, "batch": 16, "scales": (0.4, 1.0), "native_share": 0.4} | settings)


def test_reductions_by_half_octaves(cache: PanoramaCache):
    panoramas = DevicePanoramas(cache, [0, 1], least_scale=0.4, device=CPU)
    assert panoramas.width.tolist() == [[256, 181, 128], [128, 91, 64]]
    assert panoramas.height.tolist() == [[128, 91, 64], [64, 45, 32]]
    packed = panoramas.pixels[: 128 * 256].view(128, 256)
    colours = torch.stack([packed & 255, packed >> 8 & 255, packed >> 16 & 255], dim=-1)
    np.testing.assert_array_equal(colours.numpy(), cache.panorama(0))
    assert panoramas.cumulative.tolist() == pytest.approx([0.8, 1.0]), "four times the pixels, four times as often"


def test_at_one_to_one_the_pixels_are_the_panoramas(cache: PanoramaCache):
    pixels, latitude, weight = next(iter(crops(cache, [0], native_share=1.0)))
    assert pixels.shape == (16, 3, 32, 32) and pixels.dtype == torch.uint8
    wrapped = np.concatenate([cache.panorama(0)] * 2, axis=1)
    for crop, rows in zip(pixels.permute(0, 2, 3, 1).numpy(), latitude.numpy(), strict=True):
        top = round((0.5 - rows[0] / np.pi) * 128 - 0.5)
        band = wrapped[top : top + 32]
        found = [np.array_equal(band[:, x : x + 32], way) for x in range(256) for way in (crop, crop[:, ::-1])]
        assert any(found)
    assert 0.5 < weight.mean() < 1.5


def test_a_batch_depends_on_its_step_alone(cache: PanoramaCache):
    first = iter(crops(cache, [0, 1]))
    _, second = next(first), next(first)
    again = next(iter(crops(cache, [0, 1], first=1)))
    for one, other in zip(second, again, strict=True):
        assert torch.equal(one, other)


def test_crops_are_as_bright_as_what_they_are_cut_from(cache: PanoramaCache):
    pixels, latitude, weight = next(iter(crops(cache, [0, 1], batch=200, native_share=0.0)))
    share = weight[:, None] * torch.cos(latitude)
    found = (pixels.float().mean(dim=(1, 3)) * share).sum() / share.sum()
    rows = np.cos(np.pi * (0.5 - (np.arange(128) + 0.5) / 128))
    expected = (cache.panorama(0).mean(axis=(1, 2)) * rows).sum() / rows.sum()
    assert float(found) == pytest.approx(expected, rel=0.1)


def test_a_turn_moves_the_horizon_and_keeps_angles():
    latitude, longitude = torch.zeros(2, 1), torch.tensor([[0.0, torch.pi / 2]]).expand(2, 2)
    column, row = turned(latitude, longitude, torch.tensor([0.0, 0.1]), torch.tensor(256), torch.tensor(128))
    assert row[0, 0].tolist() == pytest.approx([63.5, 63.5])
    moved = 0.1 / torch.pi * 128
    assert row[1, 0].tolist() == pytest.approx([63.5 - moved, 63.5], abs=1e-3), "the axis stays where it is"
    assert column[1, 0, 1] == pytest.approx(63.5, abs=1e-3)
