"""Heavy stages of the transmitter: off the event loop, the network in batches over all streams."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from panolink.rpc.flow_control.picture_budget import DECODER_AT_REST_BYTES, TRANSMITTER_COSTS
from panolink.rpc.observability.stage_timing import in_thread
from panolink.rpc.server.batching import Batcher
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.services.transmitter.channel_feedback import ChannelFeedback
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.picture_decoder import PictureDecoder
from panolink.services.transmitter.settings import TransmitterSettings

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

Result = TypeVar("Result")


class Extracted(NamedTuple):
    """Features (1, dim, rows, cols) of a picture, and the seconds of the stages `queue` and `encode`."""

    features: Any
    seconds: dict[str, float]


class Pipeline:
    """What the panoramas of all streams share: models, workers, memory, the queue of the network."""

    def __init__(
        self,
        models: ModelRegistry,
        settings: TransmitterSettings,
        metrics: TransmitterMetrics,
        feedback: ChannelFeedback,
    ) -> None:
        self.models, self.feedback, self.settings, self.metrics = models, feedback, settings, metrics
        beside = settings.workers * DECODER_AT_REST_BYTES + settings.stream_bytes
        self.memory = settings.picture_budget(TRANSMITTER_COSTS, beside=beside)
        """For pixels of pictures in work."""
        metrics.pixels_under_way.set_function(lambda: self.memory.pixels.used)
        self.decoder = PictureDecoder(
            processes=settings.workers, seconds=settings.decode_seconds, memory_bytes=settings.decode_memory_bytes
        )
        self._workers = ThreadPoolExecutor(settings.workers, "transmitter")
        self._network = ThreadPoolExecutor(1, "network")
        self._extract: dict[str, Batcher[np.ndarray, Any]] = {
            codec.name: Batcher(
                codec.extract,
                executor=self._network,
                max_batch=models.batch_size,
                max_wait=settings.batch_wait_seconds,
                max_queue=settings.queue_size,
                observe=metrics.batch_size.labels("encode").observe,
                busy=metrics.device_busy.labels(models.device).inc,
            )
            for codec in models.codecs
        }
        metrics.queue_depth.labels("encode").set_function(lambda: max(map(len, self._extract.values())))
        metrics.queue_limit.labels("encode").set(settings.queue_size)

    async def extract(self, codec: Codec, picture: np.ndarray) -> Extracted:
        """Features of a picture uint8 (H, W, 3), in a batch with others."""
        batched = await self._extract[codec.name](picture)
        return Extracted(batched.result, {"queue": batched.queue_seconds, "encode": batched.run_seconds})

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run a heavy stage on a worker thread."""
        return await in_thread(self._workers, work)

    async def close(self) -> None:
        for batcher in self._extract.values():
            await batcher.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)
        self.decoder.close()
