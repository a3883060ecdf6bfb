"""The codec: panorama ⇄ packet, in one call or stage by stage.

extract ─ quantize ─ pack ─▶ Packet ─▶ unpack ─ reconstruct

image ─ network ─ features ─ tokens ─ slices        slices ─ tokens ─ features ─ network ─ image
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.bitstream import MAX_PIXELS, Header, Layer, Packet, StreamPlace, metadata_bits
from panolink.codec.concealment import conceal
from panolink.codec.entropy.feature_coding import decode_features, encode_features, slice_members
from panolink.codec.model import Decoder, Model, load_decoder, load_model
from panolink.codec.networks.decoder import GUIDANCE_PLANES, guidance_planes
from panolink.codec.networks.execution import Recorded, Transfers
from panolink.codec.quantization.am_vq import Quantizer, Ranking, bits_room
from panolink.codec.quantization.vector_quantizer import dequantize, token_steps
from panolink.codec.rate_control.controller import (
    COARSEST_STEP,
    FINEST_STEP,
    Budget,
    RateController,
    choose_resolution,
)
from panolink.codec.resolution import FINE_ENOUGH, SMALLEST_SIDE, WHOLE, candidates, enlarge, reduce, reduced_size
from panolink.codec.slicing import feature_parts, slice_bytes
from panolink.codec.tokens import Tokens, steps_of_tokens
from panolink.errors import BitstreamError, ImageError, ModelError, RateError, ReferenceNeededError
from panolink.sphere.focus import Focus, quantized
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata
from panolink.sphere.padding import pad_to_tokens

DEFAULT_BPP = 0.1

BAND_PIXELS = 1 << 19
"""Panoramas of more pixels run through the networks in bands of rows of about so many, on a CPU: at no cost in time."""

USUAL_SIZES = ((512, 1024), (1024, 2048), (2048, 4096))
"""heights and widths of most panoramas: a service records a GPU's work for them at its start"""

RECORDED_PIXELS = 1 << 23
"""of batches that are recorded, at most: with more to do a GPU is busy for longer than the launches take"""


class Codec:
    """Encodes panoramas with one model and decodes packets made by it.

    Safe to use from several threads. Networks run in bfloat16 where the processor has it, else in float32.

    >>> codec = Codec.load("base")
    >>> packet = codec.encode(image, bpp=0.1)     # image: uint8 (H, W, 3), W = 2H
    >>> image = codec.decode(packet)
    """

    def __init__(self, model: Model, *, device: str | torch.device = "auto", band_pixels: int | None = None) -> None:
        self.device = device_named(device)
        self.band_pixels = BAND_PIXELS if band_pixels is None and self.device.type == "cpu" else band_pixels
        self.model = model
        self.network = model.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.quantizer = Quantizer(self.network.codebook, model.tables)
        self.bfloat16 = _has_bfloat16(self.device.type)
        """Whether networks run in bfloat16; else in float32."""
        self._transfers = Transfers(self.device)
        self._encoder, self._decoder = Recorded(self._run_encoder), Recorded(self._run_decoder)

    @classmethod
    def load(
        cls,
        name: str | Path = "base",
        *,
        decoder: Decoder | str | Path | None = Decoder.FIDELITY,
        device: str | torch.device = "auto",
        band_pixels: int | None = None,
    ) -> Codec:
        """Load a shipped model, or one from a file.

        Parameters
        ----------
        name : str or Path
            A shipped model's name, or the path of a ``.safetensors`` file.
        decoder : Decoder, str, Path or None
            Which of the model's decoders makes the pictures, or a file of one; None: no pictures are made, in two
            thirds less memory for weights.
        device : str or torch.device
            "auto": a GPU where there is one.
        band_pixels : int, optional
            Panoramas of more pixels run through the networks in bands of rows of about so many, in memory that does not
            grow with their height; None: `BAND_PIXELS` on a CPU, and all at once on a GPU. In bfloat16 on a CPU the
            result is the same to the bit.

        Raises
        ------
        ModelError
            There is no such model or decoder, or it cannot be read.
        """
        model = load_model(name)
        if decoder is None:
            del model.network.decoder
        else:
            load_decoder(model, decoder)
        return cls(model, device=device, band_pixels=band_pixels)

    @property
    def makes_pictures(self) -> bool:
        """Whether there is a decoder."""
        return hasattr(self.network, "decoder")

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def profile(self) -> str:
        return self.model.profile.name

    @property
    def fingerprint(self) -> str:
        return self.model.fingerprint

    def encode(
        self,
        image: Any,
        *,
        bpp: float | None = None,
        tau: float | None = None,
        step: int | None = None,
        ranking: Ranking | str | None = None,
        reduction: Fraction | None = None,
        robust: bool = False,
        focus: Sequence[Focus] = (),
    ) -> Packet:
        """Encode a panorama within ``bpp`` bits per pixel, all of them counted, or keep the share ``tau``.

        Parameters
        ----------
        image : Any
            A path, an image file's bytes, a PIL image, an array or a tensor (see `images.arrays.pixels_of`).
        bpp : float, optional
            Bits per pixel, above 0; where everything costs less, everything is sent. With neither ``bpp`` nor
            ``tau``: 0.1, or the base layer, whichever is more.
        tau : float, optional
            Share of the features kept, 0 … 1.
        step : int, optional
            Of the quantisation, in quarter octaves, −8 … 28; None: chosen.
        ranking : Ranking or str, optional
            Of the tokens; None: the profile's.
        reduction : Fraction, optional
            By how much sides are reduced; None: as much as pays at the rate where nothing but ``bpp`` is given (see
            `tokens_at`), else not at all.
        robust : bool
            In slices that decode alone, for a link that loses some of them.
        focus : sequence of Focus
            Where somebody looks, at most four directions: the bits go there.

        Raises
        ------
        RateError
            The base layer alone costs more than ``bpp``, or a number is out of its range.
        ImageError
            No picture, or not 2:1.
        """
        image, sphere = _picture_of(image)
        if bpp is not None:
            bpp -= metadata_bits(sphere) / (image.shape[0] * image.shape[1])
        if reduction is None and tau is step is ranking is None:
            return self.pack(self.tokens_at(image, bpp, robust=robust, focus=focus)).with_metadata(sphere)
        reduction = reduction or WHOLE
        (features,) = self.extract([reduce(image, reduction)])
        size = (image.shape[0], image.shape[1])
        tokens = self.quantize(
            features,
            size=size,
            bpp=bpp,
            tau=tau,
            step=step,
            ranking=ranking,
            reduction=reduction,
            robust=robust,
            focus=focus,
        )
        return self.pack(tokens).with_metadata(sphere)

    def tokens_at(
        self,
        image: NDArray[np.uint8],
        bpp: float | None = None,
        *,
        features: dict[Fraction, Tensor] | None = None,
        robust: bool = False,
        focus: Sequence[Focus] = (),
    ) -> Tokens:
        """Tokens within a rate, at the finest resolution with a step that is fine enough.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        bpp : float, optional
            Bits per pixel, above 0; None: `DEFAULT_BPP`, or the base layer of the coarsest resolution.
        features : dict of Fraction to Tensor, optional
            Those that are known, by reduction; the encoder runs for one more at most, as a rule.
        robust : bool
            In slices that decode alone.
        focus : sequence of Focus
            Where somebody looks.

        Raises
        ------
        RateError
            ``bpp`` is too little for any resolution.
        """
        known, size, foci = dict(features or {}), (image.shape[0], image.shape[1]), quantized(focus)
        reductions = candidates(DEFAULT_BPP if bpp is None else bpp, size)

        def at(reduction: Fraction) -> RateController:
            if reduction not in known:
                (known[reduction],) = self.extract([reduce(image, reduction)])
            return self.quantizer.controller(
                known[reduction], size=size, reduction=reduction, robust=robust, focus=foci
            )

        rate, ranking = DEFAULT_BPP if bpp is None else bpp, Ranking(self.model.profile.ranking)
        Budget(bpp=rate)  # refuses what is no rate
        found = choose_resolution(at, reductions, bits_room(rate, size, foci), FINE_ENOUGH)
        if found:
            controller, point, room = found
            coarsest = None if controller.base.reduction == reductions[-1] else FINE_ENOUGH
            return self.quantizer.filled(controller, point, room, ranking, coarsest=coarsest).within(room)[0]
        budget = Budget(tau=0) if bpp is None else Budget(bpp=bpp)
        return self.quantizer.quantize(at(reductions[-1]), budget, ranking)

    def decode(self, packet: Packet) -> NDArray[np.uint8]:
        """Rebuild a panorama; lost slices are concealed.

        Parameters
        ----------
        packet : Packet

        Returns
        -------
        uint8 (H, W, 3)

        Raises
        ------
        ModelError
            The packet is of another model.
        BitstreamError
            It is damaged.
        """
        return self.reconstruct([self.unpack(packet)])[0]

    def warm_up(self, sizes: Sequence[tuple[int, int]] = (), *, max_batch: int = 1) -> None:
        """Code a small picture: kernels are compiled or loaded, and the device is ready, before they are needed.

        Parameters
        ----------
        sizes : sequence of (int, int)
            Heights and widths for which a GPU's work is recorded; see `record`.
        max_batch : int
            Panoramas at a time, at most: batches of 1, 2, 4 … are recorded, of `RECORDED_PIXELS` at most.
        """
        noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
        tokens = self.unpack(self.encode(noise, tau=0.5))
        if self.makes_pictures:
            self.reconstruct([tokens])
        if self.device.type == "cuda":
            for size, batch in batches_to_record(sizes, max_batch):
                self.record(size, batch=batch)

    @torch.inference_mode()
    def record(self, size: tuple[int, int], *, batch: int = 1) -> None:
        """Record both networks for panoramas of a size: on a GPU as CUDA graphs, which hold the memory that they take.

        Panoramas of other sizes, and other numbers of them at a time, run as they are.

        Parameters
        ----------
        size : (int, int)
            Height and width, pixels.
        batch : int
            Panoramas at a time.
        """
        self._encoder.record(torch.zeros((batch, *size, 3), dtype=torch.uint8, device=self.device))
        if not self.makes_pictures:
            return
        rows, cols = (-(-side // self.model.profile.factor) for side in size)
        features = torch.zeros((batch, self.model.profile.dim, rows, cols), device=self.device)
        guidance = torch.zeros((batch, GUIDANCE_PLANES, rows, cols), device=self.device)
        self._decoder.record(features.contiguous(memory_format=torch.channels_last), guidance)

    # ── stages ────────────────────────────────────────────────────────────────────────────────────────────────────

    @torch.inference_mode()
    def extract(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """The encoder's features of images; those of one size run as one batch.

        Parameters
        ----------
        images : sequence of uint8 (H, W, 3)

        Returns
        -------
        list of float32 (1, dim, rows, cols)
        """
        for image in images:
            pixels_of_bytes = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            if not pixels_of_bytes or min(image.shape[:2]) < SMALLEST_SIDE:
                wanted = f"uint8 (H, W, 3), each side at least {SMALLEST_SIDE}"
                raise ImageError(f"image of shape {image.shape} and type {image.dtype}; wanted {wanted}")
            if image.shape[0] * image.shape[1] > MAX_PIXELS:
                raise ImageError(f"image of {image.shape[1]}×{image.shape[0]} pixels; a packet holds {MAX_PIXELS}")
        features: dict[int, Tensor] = {}
        for group in _by_shape([image.shape for image in images]):
            height, width = images[group[0]].shape[:2]
            if (rows := self._band_rows(height, width, self.network.encoder)) < height:
                features |= {i: self._extract_by_rows(images[i], rows) for i in group}
                continue
            batch = self._encoder(self._transfers.to_device([images[i] for i in group]))
            features |= zip(group, batch.split(1), strict=True)
        return [features[i] for i in range(len(images))]

    def _whole_tokens(self, pixels: Tensor) -> Tensor:
        """Pixels (batch, 3, H, W) as the encoder takes them."""
        pixels = pad_to_tokens(pixels.float(), self.model.profile.factor)
        return pixels.contiguous(memory_format=torch.channels_last)

    def _band_rows(self, height: int, width: int, network: torch.nn.Module) -> int:
        """Rows of pixels, whole tokens, of a panorama that are in a network at a time; its height: all at once."""
        if self.band_pixels is None or height * width <= self.band_pixels or not hasattr(network, "by_rows"):
            return height
        factor = self.model.profile.factor
        return min(height, max(1, self.band_pixels // (width * factor)) * factor)

    def _extract_by_rows(self, image: NDArray[np.uint8], band: int) -> Tensor:
        """Features of an image, ``band`` rows at a time."""
        step, factor, (height, width) = self.network.encoder.by_rows(), self.model.profile.factor, image.shape[:2]
        shape = (1, self.model.profile.dim, -(-height // factor), -(-width // factor))
        features = torch.empty(shape, device=self.device, memory_format=torch.channels_last)
        done = 0
        for start in range(0, height, band):
            pixels = torch.from_numpy(np.array(image[start : start + band])).to(self.device).permute(2, 0, 1)[None]
            with self._autocast():
                some = step(self._whole_tokens(pixels), start + band >= height)
            if some is not None:
                features[..., done : done + some.shape[-2], :] = some
                done += some.shape[-2]
        return features

    @torch.inference_mode()
    def quantize(
        self,
        features: Tensor,
        *,
        size: tuple[int, int],
        bpp: float | None = None,
        tau: float | None = None,
        step: int | None = None,
        ranking: Ranking | str | None = None,
        reduction: Fraction = WHOLE,
        robust: bool = False,
        focus: Sequence[Focus] = (),
    ) -> Tokens:
        """Features to tokens within a budget; ``bpp``, ``tau``, ``step``, ``ranking``, ``robust`` and
        ``focus`` as of `encode`.

        Parameters
        ----------
        features : float32 (1, dim, rows, cols)
        size : (int, int)
            Height and width of the panorama.
        reduction : Fraction
            By how much its sides were reduced.

        Raises
        ------
        RateError
            The base layer alone costs more than ``bpp``, or a number is out of its range.
        """
        order = Ranking(ranking or self.model.profile.ranking)

        controller = self.quantizer.controller(
            features, size=size, reduction=reduction, robust=robust, focus=quantized(focus)
        )
        if bpp is not None or tau is not None or step is not None:
            return self.quantizer.quantize(controller, Budget(bpp=bpp, tau=tau, step=step), order)
        try:
            return self.quantizer.quantize(controller, Budget(bpp=DEFAULT_BPP), order)
        except RateError:
            return self.quantizer.quantize(controller, Budget(tau=0), order)

    def pack(self, tokens: Tokens, *, stream: StreamPlace | None = None) -> Packet:
        """Entropy-code tokens into slices; ``stream``: where they are a whole picture of a stream."""
        return self._packet(tokens, encode_features(self.quantizer.coder, tokens), stream)

    def draft(self, tokens: Tokens, bits: NDArray[np.float32], *, stream: StreamPlace | None = None) -> Packet:
        """A packet of about the lengths that `pack` would give: nothing is entropy-coded but mask and indices.

        Parameters
        ----------
        bits : float32 (number kept,)
            What each kept token takes, by the tables. Feature slices are zeros.
        """
        features = list[bytes]()
        if tokens.kept.any():
            parts = feature_parts(float(bits.sum()), tokens.slices)
            members = slice_members(tokens.kept, tokens.slices, parts)
            features = [bytes(slice_bytes(float(bits[run].sum()))) for run in members]
        return self._packet(tokens, features, stream)

    def _packet(self, tokens: Tokens, features: Sequence[bytes], stream: StreamPlace | None) -> Packet:
        """A packet of tokens with their feature slices; mask and indices are entropy-coded."""
        coder = self.quantizer.coder
        return Packet.build(
            fingerprint=self.fingerprint,
            size=(tokens.height, tokens.width),
            reduction=tokens.reduction,
            step=tokens.step,
            mask=coder.encode_mask(tokens.kept) if features else b"",
            indices=coder.encode_indices(tokens.indices, tokens.slices),
            features=features,
            focus=tokens.focus,
            stream=stream,
        )

    def check_model(self, packet: Packet) -> None:
        """Raise `ModelError` where a packet is of another model."""
        if packet.fingerprint != self.fingerprint:
            raise ModelError(
                f"packet was made by model {packet.fingerprint}, this codec holds {self.name!r} with {self.fingerprint}"
            )

    def token_grid(self, header: Header) -> tuple[int, int]:
        """Rows and columns of tokens of a packet."""
        factor = self.model.profile.factor
        height, width = reduced_size((header.height, header.width), header.reduction)
        return -(-height // factor), -(-width // factor)

    def unpack(self, packet: Packet) -> Tokens:
        """Decode slices into tokens; those of lost indices are marked ``concealed``, lost features are codes.

        Parameters
        ----------
        packet : Packet

        Raises
        ------
        ModelError
            The packet is of another model.
        BitstreamError
            It is damaged.
        """
        self.check_model(packet)
        header = packet.header
        if header.stream and header.stream.reference:
            raise ReferenceNeededError(
                f"packet {header.stream.number} of a stream is predicted from {header.stream.reference}: a stream's "
                "decoder is needed, and the packets before"
            )
        rows, cols = self.token_grid(header)
        slices, coder = header.index_slices, self.quantizer.coder
        if slices > rows or not FINEST_STEP <= header.step <= COARSEST_STEP:
            raise BitstreamError(
                f"packet header names {slices} slices of {rows} token rows at step {header.step}: corrupt"
            )
        payloads = packet.payloads(Layer.INDICES)
        indices = coder.decode_indices(payloads, (rows, cols))
        concealed = np.zeros((rows, cols), dtype=bool)
        for start, payload in enumerate(payloads):
            concealed[start::slices] = payload is None
        mask = next(iter(packet.payloads(Layer.MASK)), None)
        sent = np.zeros((rows, cols), dtype=bool) if mask is None else coder.decode_mask(mask, rows, cols)
        symbols, received = decode_features(
            coder,
            packet.payloads(Layer.FEATURES),
            indices=indices,
            sent=sent,
            usable=~concealed,
            steps=header.step + steps_of_tokens(rows, cols, header.focus),
            slices=slices,
        )
        kept = sent.copy()
        kept[sent] = received
        return Tokens(
            width=header.width,
            height=header.height,
            step=header.step,
            reduction=header.reduction,
            slices=slices,
            indices=indices,
            kept=kept,
            symbols=symbols if received.all() else symbols[received],
            concealed=concealed if concealed.any() else None,
            sphere=header.sphere,
            focus=header.focus,
        )

    @torch.inference_mode()
    def reconstruct(self, tokens: Sequence[Tokens]) -> list[NDArray[np.uint8]]:
        """Pictures from tokens; panoramas of one size run as one batch.

        Parameters
        ----------
        tokens : sequence of Tokens

        Returns
        -------
        list of uint8 (H, W, 3)

        Raises
        ------
        ModelError
            The model was loaded without a decoder.
        """
        if not self.makes_pictures:
            raise ModelError(f"model {self.name!r} was loaded without a decoder: it makes no pictures")
        images: dict[int, NDArray[np.uint8]] = {}
        for group in _by_shape([(t.height, t.width, *t.reduction.as_integer_ratio()) for t in tokens]):
            first = tokens[group[0]]
            height, width = first.height, first.width
            if (band := self._band_rows(height, width, self.network.decoder)) < height:
                images |= {i: self._reconstruct_by_rows(tokens[i], band) for i in group}
                continue
            inputs = [self._decoder_inputs(tokens[i]) for i in group]
            features, guidance = (torch.cat(parts).to(self.device) for parts in zip(*inputs, strict=True))
            features = features.contiguous(memory_format=torch.channels_last)
            pixels = self._decoder(features, guidance)
            pixels = pixels[..., :height, :width] if first.reduction == WHOLE else enlarge(pixels, (height, width))
            images |= zip(group, self._transfers.to_host(_as_bytes(pixels)), strict=True)
        return [np.ascontiguousarray(images[i]) for i in range(len(tokens))]

    def _reconstruct_by_rows(self, tokens: Tokens, band: int) -> NDArray[np.uint8]:
        """A picture, ``band`` rows of pixels at a time."""
        features, guidance = self._decoder_inputs(tokens)
        features = features.contiguous(memory_format=torch.channels_last)
        size, factor = (tokens.height, tokens.width), self.model.profile.factor
        rows, cols = features.shape[-2:]
        picture = np.empty((*size, 3), np.uint8)
        small = None if tokens.reduction == WHOLE else torch.empty(1, 3, rows * factor, cols * factor)
        step, done = self.network.decoder.by_rows(), 0
        for start in range(0, rows, band // factor):
            some = slice(start, start + band // factor)
            with self._autocast():
                pixels = step(features[..., some, :], guidance[..., some, :], some.stop >= rows)
            if pixels is None:
                continue
            part = slice(done, done + pixels.shape[-2])
            if small is None:
                picture[part] = self._transfers.to_host(_as_bytes(pixels[..., : size[0] - done, : size[1]]))[0]
            else:
                small[..., part, :] = pixels
            done = part.stop
        if small is not None:
            for start in range(0, size[0], band):
                part = slice(start, min(start + band, size[0]))
                picture[part] = self._transfers.to_host(_as_bytes(enlarge(small, size, rows=part)))[0]
        return picture

    def _decoder_inputs(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Features (1, dim, rows, cols) and guidance (1, 3, rows, cols) of one panorama."""
        features, kept = dequantize(tokens, self.network.codebook), torch.from_numpy(tokens.kept)[None]
        concealed = torch.zeros_like(kept) if tokens.concealed is None else torch.from_numpy(tokens.concealed)[None]
        if tokens.concealed is not None:
            features = conceal(features, concealed.to(features.device))
        return features, guidance_planes(kept, token_steps(tokens), concealed).to(features.device)

    def _run_encoder(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 (batch, H, W, 3) to features float32 (batch, dim, rows, cols)."""
        with self._autocast():
            return self.network.encoder(self._whole_tokens(pixels.permute(0, 3, 1, 2))).float()

    def _run_decoder(self, features: Tensor, guidance: Tensor) -> Tensor:
        """Features (batch, dim, rows, cols) and guidance (batch, 3, rows, cols) to pixels (batch, 3, H, W)."""
        with self._autocast():
            return self.network.decoder(features, guidance)

    def _autocast(self) -> torch.autocast:
        # Weights are cast anew each time: each is used once, and a cache of them does not go into a recording.
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16, cache_enabled=False)


def _picture_of(source: Any) -> tuple[NDArray[np.uint8], SphereMetadata]:
    """Pixels of a file or of a picture in memory, and what a file says of its sphere."""
    from panolink.images.arrays import pixels_of
    from panolink.images.read import read_picture

    if isinstance(source, (str, Path, bytes)):
        picture = read_picture(source, allow_any_aspect=True)
        return picture.array, picture.sphere
    return pixels_of(source), NOTHING_KNOWN


def device_named(name: str | torch.device) -> torch.device:
    """A device to run on: `auto` (the GPU where there is one), `cpu`, `cuda`, `cuda:1` …

    Raises
    ------
    ModelError : there is no such device here; names those that there are.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError):
        device = None
    if device is None or device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= gpus):
        here = ", ".join(["auto", "cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))])
        why = "" if gpus else " (no NVIDIA GPU that torch can use)"
        raise ModelError(f"no device {str(name)!r} here; there are {here}{why}")
    return device


def batches_to_record(sizes: Sequence[tuple[int, int]], max_batch: int) -> list[tuple[tuple[int, int], int]]:
    """Sizes and batches that a service records at its start, those of the most pixels first: they share its memory.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Heights and widths, pixels.
    max_batch : int
        Panoramas at a time, at most.
    """
    batches = [1 << power for power in range(max_batch.bit_length())]
    pairs = [
        (size, batch) for size in sizes for batch in batches if batch == 1 or batch * math.prod(size) <= RECORDED_PIXELS
    ]
    return sorted(pairs, key=lambda pair: -pair[1] * math.prod(pair[0]))


def _as_bytes(pixels: Tensor) -> Tensor:
    """(batch, 3, H, W) as uint8 (batch, H, W, 3)."""
    return pixels.clamp(0, 255).round_().byte().permute(0, 2, 3, 1).contiguous()


def _by_shape(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(index)
    return list(groups.values())


@functools.cache
def _has_bfloat16(device: str) -> bool:
    """Whether bfloat16 convolutions run in hardware; emulated ones are slower than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
