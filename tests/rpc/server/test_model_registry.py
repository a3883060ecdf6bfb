import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec import model
from panolink.errors import ModelError
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.v1 import node_pb2


@pytest.fixture(scope="module")
def metrics() -> ServiceMetrics:
    return ServiceMetrics()


@pytest.fixture(scope="module")
def registry(weights: Callable[[int], Path], metrics: ServiceMetrics) -> ModelRegistry:
    return ModelRegistry([str(weights(0)), str(weights(1))], device="cpu", metrics=metrics)


def test_the_first_is_the_default(registry: ModelRegistry) -> None:
    assert registry.named("") is registry.named("tiny0") is registry.codecs[0]
    assert registry.named("tiny1") is registry.codecs[1]
    with pytest.raises(ModelError, match="no model 'base' here, there is tiny0, tiny1"):
        registry.named("base")


def test_a_packet_s_model_is_found_by_its_fingerprint(registry: ModelRegistry) -> None:
    first, second = (codec.fingerprint for codec in registry.codecs)
    assert first != second
    assert registry.with_fingerprint(second) is registry.codecs[1]
    with pytest.raises(ModelError) as refused:
        registry.with_fingerprint("f" * 100)
    assert f"made with model {'f' * 64}, this receiver holds {first} (tiny0), {second} (tiny1)" in str(refused.value)
    with pytest.raises(ModelError, match=r"made with model \(none\)"):
        registry.with_fingerprint("")


def test_it_says_what_it_holds_and_where(registry: ModelRegistry, metrics: ServiceMetrics) -> None:
    response = node_pb2.DescribeResponse()
    registry.describe(response)
    assert response.device == registry.device == "cpu" and registry.batch_size == 1
    assert [model.name for model in response.models] == ["tiny0", "tiny1"]
    assert all(list(model.decoders) == [node_pb2.DECODER_FIDELITY] for model in response.models)
    for codec in registry.codecs:
        labels = {"name": codec.name, "fingerprint": codec.fingerprint, "profile": codec.profile}
        assert metrics.registry.get_sample_value("panolink_model_info", labels) == 1
    assert (metrics.registry.get_sample_value("panolink_device_memory_bytes", {"device": "cpu"}) or 0) > 0


def test_viewers_choose_among_the_decoders_that_there_are(
    weights: Callable[[int], Path], metrics: ServiceMetrics, darker: Path
) -> None:
    registry = ModelRegistry([str(weights(0))], device="cpu", metrics=metrics, decoder=str(darker))
    (own,) = registry.codecs
    assert [registry.realism_for(own, wanted) for wanted in (0, 1, 0.5, None)] == [0, None, None, None]
    other = registry.with_realism(own, 0.0)
    assert registry.with_realism(own, None) is own and registry.with_realism(own, 0.0) is other is not own
    packet = own.encode(np.full((64, 128, 3), 90, np.uint8), tau=0.5)
    assert other.decode(packet).mean() > own.decode(packet).mean() + 4
    plain = ModelRegistry([str(weights(0))], device="cpu", metrics=metrics)
    assert plain.realism_for(plain.codecs[0], None) == 0
    assert plain.with_realism(plain.codecs[0], 0.0) is plain.codecs[0]


def test_a_decoder_that_can_no_longer_be_loaded_disturbs_nothing(
    weights: Callable[[int], Path], metrics: ServiceMetrics, darker: Path, tmp_path: Path
) -> None:
    shutil.copy(weights(0), tmp_path / "gone.safetensors")
    registry = ModelRegistry([str(tmp_path / "gone.safetensors")], device="cpu", metrics=metrics, decoder=str(darker))
    (own,) = registry.codecs
    assert registry.realism_for(own, 0.0) == 0
    shutil.copy(weights(1), tmp_path / "gone.safetensors")  # another model
    assert registry.with_realism(own, 0.0) is own
    assert registry.realism_for(own, 0.0) is None


@pytest.fixture
def two_decoders(darker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`darker` is the perceptual decoder of the tiny model."""
    monkeypatch.setattr(model, "_perceptual_path", lambda of: darker)


@pytest.mark.usefixtures("two_decoders")
def test_viewers_choose_a_realism_that_is_rounded(weights: Callable[[int], Path], metrics: ServiceMetrics) -> None:
    registry = ModelRegistry([str(weights(0))], device="cpu", metrics=metrics, realism=0.3)
    (own,) = registry.codecs
    wanted = {None: 0.3, 0.3: 0.3, 0.29: 0.25, 0: 0, 0.1: 0, 0.13: 0.25, 0.6: 0.5, 0.9: 1, 1: 1}
    assert {realism: registry.realism_for(own, realism) for realism in wanted} == wanted
    assert registry.with_realism(own, 0.3) is own
    packet = own.encode(np.full((64, 128, 3), 90, np.uint8), tau=0.5)
    means = [registry.with_realism(own, realism).decode(packet).mean() for realism in (0.0, 0.3, 0.5, 1.0)]
    assert [registry.realism_made(own, realism) for realism in (0.0, 0.3, 0.5, 1.0)] == [0.0, 0.3, 0.5, 1.0]
    assert means == sorted(means, reverse=True) and means[0] > means[-1] + 4
    assert registry.with_realism(own, 0.5) is registry.with_realism(own, 0.5), "loaded once"


@pytest.mark.usefixtures("two_decoders")
def test_a_realism_that_can_no_longer_be_loaded_disturbs_nothing(
    weights: Callable[[int], Path], metrics: ServiceMetrics, darker: Path
) -> None:
    registry = ModelRegistry([str(weights(0))], device="cpu", metrics=metrics)
    (own,) = registry.codecs
    darker.unlink()
    assert registry.realism_for(own, 0.5) == 0.5
    assert registry.with_realism(own, 0.5) is registry.with_realism(own, 1.0) is own
    assert registry.realism_made(own, 0.5) == registry.realism_made(own, 1.0) == registry.realism_made(own, 0.0) == 0
    assert [registry.realism_for(own, wanted) for wanted in (0.5, 1, 0)] == [0, 0, 0]


@pytest.mark.usefixtures("two_decoders")
def test_a_realism_that_there_is_no_memory_for_disturbs_nothing(
    weights: Callable[[int], Path], metrics: ServiceMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry([str(weights(0))], device="cpu", metrics=metrics)
    (own,) = registry.codecs

    def load(*_args: object, **_settings: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 20 MiB")

    monkeypatch.setattr(type(own), "load", load)
    assert registry.with_realism(own, 0.5) is own and registry.realism_made(own, 0.5) == 0
    assert registry.realism_for(own, 0.75) == 0


def test_a_realism_that_a_model_does_not_have_stops_the_service(
    weights: Callable[[int], Path], metrics: ServiceMetrics
) -> None:
    with pytest.raises(ModelError, match="has no perceptual decoder"):
        ModelRegistry([str(weights(0))], device="cpu", metrics=metrics, realism=0.5)


def test_a_model_that_is_none_stops_the_service(metrics: ServiceMetrics, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nope"):
        ModelRegistry(["nope"], device="cpu", metrics=metrics)
