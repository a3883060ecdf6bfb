"""Devices by name; transfers and recordings, on each device that is here."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from panolink.codec.networks import execution
from panolink.codec.networks.execution import (
    USUAL_SIZES,
    Recorded,
    Transfers,
    batches_to_record,
    device_named,
    has_bfloat16,
    mixed_precision,
)
from panolink.errors import ModelError

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "mps", "cuda:99", "meta", "CPU:x"])
def test_devices_that_are_not_here_are_named_with_those_that_are(name: str):
    with pytest.raises(ModelError, match=rf"no device '{name}' here; there are auto, cpu"):
        device_named(name)


def test_devices_that_are_here():
    assert device_named("cpu").type == "cpu"
    assert device_named("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no NVIDIA GPU that torch can use"):
            device_named("cuda")


@pytest.mark.parametrize("device", DEVICES)
def test_pictures_go_over_and_come_back(device: str):
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 8, 16, 3), dtype=np.uint8))
    transfers = Transfers(torch.device(device))
    there = transfers.to_device(pictures)
    assert there.device.type == device and there.shape == (3, 8, 16, 3)
    back = transfers.to_host(255 - there)
    assert back.dtype == np.uint8 and np.array_equal(back, 255 - np.stack(pictures))


@pytest.mark.parametrize("device", DEVICES)
def test_a_recorded_shape_gives_what_the_function_gives(device: str):
    calls = []

    def function(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        calls.append(a.shape)
        return 2 * a + b

    recorded, example = Recorded(function), torch.zeros(2, 3, device=device)
    recorded.record(example, example)
    known = len(calls)
    recorded.record(example, example)
    assert len(calls) == known, "recorded once"
    a, b = (torch.arange(6.0, device=device).view(2, 3) + start for start in (0, 10))
    first, second = recorded(a, b), recorded(b, a)
    assert torch.equal(first, 2 * a + b) and torch.equal(second, 2 * b + a), "each in memory of its own"
    assert not example.any(), "inputs are left alone"
    other = torch.ones(4, device=device)
    assert torch.equal(recorded(other, other), 3 * other), "a shape that was not recorded"


@pytest.mark.parametrize("device", DEVICES)
def test_threads_do_not_mix_their_inputs(device: str):
    recorded = Recorded(lambda x: x * x)
    recorded.record(torch.zeros(500, device=device))
    values = [torch.full((500,), float(number), device=device) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(recorded, values))
    assert all(torch.equal(one, value * value) for one, value in zip(found, values, strict=True))


def test_what_cannot_be_recorded_runs_as_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(execution, "_Recording", refuse)
    doubled = Recorded(lambda a: 2 * a)
    doubled.record(torch.ones(2, 3))
    assert "not recorded for (2, 3)" in caplog.text and "capturing" in caplog.text
    assert (doubled(torch.ones(2, 3)) == 2).all()


def test_batches_that_a_service_records():
    assert batches_to_record(USUAL_SIZES, 1) == [(size, 1) for size in reversed(USUAL_SIZES)]
    small, middle, large = USUAL_SIZES
    found = batches_to_record(USUAL_SIZES, 8)
    assert {batch for size, batch in found if size == small} == {1, 2, 4, 8}
    assert {batch for size, batch in found if size == middle} == {1, 2, 4}
    assert {batch for size, batch in found if size == large} == {1}
    assert {batch for _, batch in batches_to_record([small], 6)} == {1, 2, 4}
    pixels = [batch * size[0] * size[1] for size, batch in found]
    assert pixels == sorted(pixels, reverse=True)


@pytest.mark.parametrize("supported", [True, False])
def test_half_precision_is_for_devices_that_have_it(monkeypatch: pytest.MonkeyPatch, supported: bool):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    has_bfloat16.cache_clear()
    assert has_bfloat16("cuda") is supported
    assert has_bfloat16("cpu") is bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    has_bfloat16.cache_clear()


@pytest.mark.parametrize("supported", [True, False])
def test_products_are_in_half_precision_where_devices_have_it(monkeypatch: pytest.MonkeyPatch, supported: bool):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    has_bfloat16.cache_clear()
    with mixed_precision("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype is (torch.bfloat16 if supported else torch.float32)
    has_bfloat16.cache_clear()
