"""Quality of received pictures (VPSNR), measured for a share of the panoramas in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import numpy as np

from panolink.errors import LimitError
from panolink.images.wire_pictures import decode_picture
from panolink.rpc.flow_control.picture_budget import PictureBudget

log = logging.getLogger(__name__)


class QualityMonitor:
    """Compares a share of the returned pictures with those sent, without delaying deliveries.

    At most one comparison runs at a time, and panoramas due meanwhile are skipped, to bound the load. A panorama is
    kept as its image file and decoded once more for the comparison.

    Parameters
    ----------
    share
        Share of the panoramas to measure, from 0 (none) to 1, evenly spread.
    observe
        Called with the VPSNR of each in dB.
    memory
        Budget for the pixels of both pictures.
    decode
        Decodes an image file, as `PictureDecoder.decode`.
    """

    def __init__(
        self,
        share: float,
        observe: Callable[[float], None],
        memory: PictureBudget,
        decode: Callable[..., np.ndarray],
    ) -> None:
        self._share = share
        self._observe = observe
        self._memory = memory
        self._decode = decode
        self._credit = 1.0 - share  # the first panorama is due
        self._running: asyncio.Task[None] | None = None

    def due(self) -> bool:
        """Whether to measure the next panorama; to be called once per panorama."""
        self._credit = min(1.0, self._credit + self._share)
        if not self._share or self._credit < 1 or (self._running and not self._running.done()):
            return False
        self._credit -= 1
        return True

    def measure(self, sent: bytes, received: bytes, pixels: int, *, allow_any_aspect: bool = False) -> None:
        """Start a comparison in the background.

        Parameters
        ----------
        sent
            Image file of the panorama.
        received
            File of the received picture.
        pixels
            Number of pixels of the panorama.
        allow_any_aspect
            Whether pictures that are not 2:1 are accepted.
        """
        if self._running and not self._running.done():
            return
        self._running = asyncio.create_task(self._measure(sent, received, pixels, allow_any_aspect))

    async def _measure(self, sent: bytes, received: bytes, pixels: int, allow_any_aspect: bool) -> None:
        try:
            reservation = await self._memory.reserve(2 * pixels)
        except LimitError:  # there is room for one such picture, but not for two
            log.info("the quality of a picture of %d pixels is not measured: two have no room", pixels)
            return
        try:
            self._observe(await asyncio.to_thread(self._vpsnr, sent, received, pixels, allow_any_aspect))
        except Exception:  # a bug must not fail the delivery
            log.exception("the quality of a picture could not be measured")
        finally:
            reservation.release()

    def _vpsnr(self, sent: bytes, received: bytes, pixels: int, allow_any_aspect: bool) -> float:
        from panolink.metrics.viewport import vpsnr

        picture = self._decode(sent, name="panorama", allow_any_aspect=allow_any_aspect, max_pixels=pixels)
        return vpsnr(picture, decode_picture(received)[0])
