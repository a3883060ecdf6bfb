import os
import signal
from dataclasses import replace

import pytest
import torch

from panolink.training.batches import batches, crop_stream, ignore_terminate, loading_processes
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.device_crops import DevicePanoramas

CPU = torch.device("cpu")


@pytest.fixture
def config() -> TrainingConfig:
    return replace(TrainingConfig.load("base"), batch=2, crop=64)


def first(config: TrainingConfig, cache: PanoramaCache, count: int, **options) -> list[tuple[torch.Tensor, ...]]:
    stream = batches(config, cache, CPU, **options)
    return [next(stream) for _ in range(count)]


@pytest.mark.parametrize("on_device", [False, True])
def test_a_run_that_goes_on_sees_what_it_would_have_seen(
    config: TrainingConfig, cache: PanoramaCache, on_device: bool
) -> None:
    training, _ = cache.split()
    options = {}
    if on_device:
        options["panoramas"] = DevicePanoramas(cache, training, least_scale=config.scales[0], device=CPU)
    whole, rest = first(config, cache, 3, **options), first(config, cache, 2, first=1, **options)
    for one, other in zip(whole[1:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    pixels, latitude, weight = whole[0]
    assert pixels.shape == (2, 3, 64, 64) and pixels.dtype == torch.uint8
    assert latitude.shape == (2, 64) and weight.shape == (2,)


def test_batches_of_processes_are_those_of_the_stream(config: TrainingConfig, cache: PanoramaCache) -> None:
    ((pixels, latitude, _),) = first(config, cache, 1)
    direct = next(iter(crop_stream(config, cache)))
    assert torch.equal(pixels, direct[0]) and torch.equal(latitude, direct[1])


def test_each_rank_has_crops_of_its_own(config: TrainingConfig, cache: PanoramaCache) -> None:
    one, other = (next(iter(crop_stream(config, cache, rank=rank)))[0] for rank in (0, 1))
    assert not torch.equal(one, other)


def test_cores_are_shared_among_the_processes_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panolink.training.batches.usable_cores", lambda: 26)
    assert loading_processes() == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert loading_processes() == 11
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "13")
    assert loading_processes() == 1


def test_a_loader_outlives_the_signal_that_stops_its_trainer() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ignore_terminate(0)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
