"""Registry of the loaded codecs of a service, and their device."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from panolink.codec.realism import Decoder, is_file, realism_of
from panolink.errors import ModelError
from panolink.rpc.observability.device_metrics import measure_device
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.wire.decoders import decoder_to_wire
from panolink.v1 import node_pb2

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

log = logging.getLogger(__name__)

REALISM_STEPS = 4
"""A viewer's realism is rounded to a quarter. Each one that is asked for takes a decoder's memory, and its time for
every panorama: so there are five at most."""


class ModelRegistry:
    """Codecs by name and by fingerprint; the first is the default.

    Parameters
    ----------
    names
        Shipped models, or paths of `.safetensors` files.
    device
        `auto`, `cpu`, `cuda`, `cuda:1` …
    metrics
        Exports the models and the memory of the device.
    decoder
        `fidelity`, `perceptual`, the file of a decoder, or empty: as the realism says, see `panolink.codec.model`.
        None: nothing is decoded here.
    realism
        Of the service's own decoder, 0 … 1, see `panolink.codec.codec.Codec.load`; None: as its name says.
    band_pixels
        Of larger panoramas, rows are in the networks at a time, see `panolink.codec.codec.Codec.load`.
    max_batch
        Panoramas that go through the networks at a time, at most; None: as many as are good for the device.

    Raises
    ------
    ModelError
        A model or decoder cannot be loaded.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        device: str,
        metrics: ServiceMetrics,
        decoder: str | None = "",
        realism: float | None = None,
        band_pixels: int | None = None,
        max_batch: int | None = None,
    ) -> None:
        from panolink.codec.codec import Codec
        from panolink.codec.model import decoders_of
        from panolink.codec.networks.execution import USUAL_SIZES

        self._files = list(names)
        self.codecs: list[Codec] = [
            Codec.load(name, decoder=decoder, realism=realism, device=device, band_pixels=band_pixels)
            for name in self._files
        ]
        self._by_name = {codec.name: codec for codec in self.codecs}
        self._by_fingerprint = {codec.fingerprint: codec for codec in self.codecs}
        self.device = str(self.codecs[0].device)
        self.batch_size = max_batch or (8 if self.device.startswith("cuda") else 1)
        """most panoramas of a batch"""
        self._own_realism = None if decoder is None or is_file(decoder) else realism_of(decoder, realism) or 0.0
        self._decoders = {codec.fingerprint: list(map(str, decoders_of(codec.model))) for codec in self.codecs}
        self._with_realism = {(codec.fingerprint, self._own_realism): codec for codec in self.codecs}
        for codec in self.codecs:
            codec.warm_up(USUAL_SIZES, max_batch=self.batch_size)
            metrics.models.labels(codec.name, codec.fingerprint, codec.profile).set(1)
        measure_device(self.device, metrics)

    def named(self, name: str) -> Codec:
        """Find a model by its name.

        Parameters
        ----------
        name : str
            Empty: the default.

        Raises
        ------
        ModelError
            There is none of that name.
        """
        codec = self._by_name.get(name) if name else self.codecs[0]
        if codec is None:
            raise ModelError(f"no model {name!r} here, there is {', '.join(self._by_name)}")
        return codec

    def with_fingerprint(self, fingerprint: str) -> Codec:
        """Find a model by its fingerprint.

        Parameters
        ----------
        fingerprint : str
            As a burst's header has it.

        Raises
        ------
        ModelError
            There is none; lists the models held.
        """
        codec = self._by_fingerprint.get(fingerprint)
        if codec is None:
            here = ", ".join(f"{codec.fingerprint} ({codec.name})" for codec in self.codecs)
            raise ModelError(f"made with model {fingerprint[:64] or '(none)'}, this receiver holds {here}")
        return codec

    def realism_for(self, codec: Codec, wanted: float | None) -> float | None:
        """The realism of the decoder that makes a viewer's pictures; None: it is the service's own, from a file.

        Parameters
        ----------
        codec
            One of `codecs`.
        wanted
            0 … 1, rounded to `REALISM_STEPS`; where it is None, or the model has no such decoder, it is the service's
            own, and so it is where exactly that is wanted.
        """
        if wanted is None or wanted == self._own_realism:
            return self._own_realism
        rounded = round(wanted * REALISM_STEPS) / REALISM_STEPS
        return rounded if _kind(rounded) in self._decoders[codec.fingerprint] else self._own_realism

    def with_realism(self, codec: Codec, realism: float | None) -> Codec:
        """The same model with the decoder of a realism that `realism_for` has named, loaded when it is first needed.

        Where its files are no longer what they were at the start, or there is no memory for it, it is the service's own
        decoder, from then on.
        To be called from one thread.
        """
        key = codec.fingerprint, realism
        if key not in self._with_realism:
            name = self._files[self.codecs.index(codec)]
            try:
                other = type(codec).load(name, realism=realism, device=codec.device, band_pixels=codec.band_pixels)
                if other.fingerprint != codec.fingerprint:
                    raise ModelError(f"{name}: another model now, {other.fingerprint}")
            except (ModelError, RuntimeError, MemoryError) as error:  # what one viewer asks for costs others nothing
                log.warning("no decoder of realism %s, although a viewer asks for it: %s", realism, error)
                with suppress(ValueError):  # another realism may have failed before
                    self._decoders[codec.fingerprint].remove(_kind(realism))
                other = codec
            self._with_realism[key] = other
        return self._with_realism[key]

    def realism_made(self, codec: Codec, realism: float | None) -> float | None:
        """The realism of the decoder that `with_realism` has given for one: the service's own where it could not be
        loaded."""
        return self._own_realism if self._with_realism.get((codec.fingerprint, realism)) is codec else realism

    def describe(self, response: node_pb2.DescribeResponse) -> None:
        """Add models and device to the response of `Node.Describe`."""
        response.device = self.device
        for codec in self.codecs:
            decoders = map(decoder_to_wire, self._decoders[codec.fingerprint])
            response.models.add(
                name=codec.name, fingerprint=codec.fingerprint, profile=codec.profile, decoders=decoders
            )


def _kind(realism: float | None) -> Decoder:
    """The kind of decoder without which there is none of a realism."""
    return Decoder.PERCEPTUAL if realism else Decoder.FIDELITY
