"""The receiver's stages, with a tiny model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from panolink.rpc.server.batching import Batcher
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.services.receiver.metrics import ReceiverMetrics
from panolink.services.receiver.pipeline import Pipeline
from panolink.services.receiver.settings import ReceiverSettings


@pytest.fixture
async def pipeline(tiny_path: Path, metrics: ReceiverMetrics) -> AsyncIterator[Pipeline]:
    models = ModelRegistry([str(tiny_path)], device="cpu", metrics=metrics)
    made = Pipeline(models, ReceiverSettings(), metrics)
    yield made
    await made.close()


@pytest.fixture
def metrics() -> ReceiverMetrics:
    return ReceiverMetrics()


async def test_metrics_are_read_while_another_decoder_comes(
    pipeline: Pipeline, metrics: ReceiverMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    (codec,) = pipeline._models.codecs
    wanted = iter((0.25, 0.5))

    def length(_batcher: Batcher) -> int:
        for realism in wanted:
            pipeline._batcher(codec, realism)
        return 3

    monkeypatch.setattr(Batcher, "__len__", length)
    text = generate_latest(metrics.registry).decode()
    assert 'panolink_queue_depth{queue="decode"} 3.0' in text, "of three queues, each of which blocks alone"
    limit = metrics.registry.get_sample_value("panolink_queue_limit", {"queue": "decode"})
    assert limit == pipeline._settings.queue_size
    assert len(pipeline._reconstruct) == 3
