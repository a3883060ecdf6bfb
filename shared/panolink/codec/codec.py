"""The codec: panorama ⇄ packet, in one call or stage by stage.

extract ─ quantize ─ pack ─▶ Packet ─▶ unpack ─ reconstruct

image ─ network ─ features ─ tokens ─ slices        slices ─ tokens ─ features ─ network ─ image
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.bitstream import MAX_PIXELS, MAX_SIDE, Header, Packet, StreamPlace, metadata_bits
from panolink.codec.concealment import decoder_inputs
from panolink.codec.effort import Effort
from panolink.codec.model import Decoder, Model, load_decoder, load_model
from panolink.codec.networks.decoding_error import DecodingError
from panolink.codec.networks.execution import RECORDED_PIXELS, USUAL_SIZES, batches_to_record, device_named
from panolink.codec.networks.runner import BAND_PIXELS, NetworkRunner
from panolink.codec.quantization.am_vq import Quantizer, Ranking, bits_room
from panolink.codec.rate_control.controller import Budget, RateController, choose_resolution
from panolink.codec.refinement import STRUCTURE, Progress, refined
from panolink.codec.resolution import FROM_BPP, SMALLEST_SIDE, WHOLE, candidates, fine_enough, reduce, reduced_size
from panolink.codec.token_coding import draft_tokens, pack_tokens, unpack_tokens
from panolink.codec.tokens import Tokens
from panolink.errors import ImageError, ModelError, RateError
from panolink.sphere.focus import Focus, quantized
from panolink.sphere.latitude import token_weights
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

__all__ = ["BAND_PIXELS", "DEFAULT_BPP", "RECORDED_PIXELS", "USUAL_SIZES", "Codec", "batches_to_record", "device_named"]

DEFAULT_BPP = 0.1


class Codec:
    """Encodes panoramas with one model and decodes packets made by it.

    Safe to use from several threads. Networks run in bfloat16 where the processor has it, else in float32.

    >>> codec = Codec.load("base")
    >>> packet = codec.encode(image, bpp=0.1)     # image: uint8 (H, W, 3), W = 2H
    >>> image = codec.decode(packet)
    """

    def __init__(self, model: Model, *, device: str | torch.device = "auto", band_pixels: int | None = None) -> None:
        self.device = device_named(device)
        self.model = model
        self._runner = NetworkRunner(model.network, self.device, band_pixels=band_pixels)
        self.network = self._runner.network
        self.quantizer = Quantizer(self.network.codebook, model.tables)

    @classmethod
    @torch.inference_mode(False)  # weights that derivatives can go through, see `refine`
    def load(
        cls,
        name: str | Path = "base",
        *,
        decoder: Decoder | str | Path | None = "",
        realism: float | None = None,
        device: str | torch.device = "auto",
        band_pixels: int | None = None,
    ) -> Codec:
        """Load a shipped model, or one from a file.

        Parameters
        ----------
        name : str or Path
            A shipped model's name, or the path of a ``.safetensors`` file.
        decoder : Decoder, str, Path or None
            Which of the model's decoders makes the pictures, or a file of one; empty: as ``realism`` says, or
            `fidelity`. None: no pictures are made, in two thirds less memory for weights.
        realism : float, optional
            0 … 1: pictures of the fidelity decoder (0), of the perceptual one or that of a file (1), or of a decoder
            whose weights lie in between; no picture takes longer.
        device : str or torch.device
            "auto": a GPU where there is one.
        band_pixels : int, optional
            Panoramas of more pixels run through the networks in bands of rows of about so many, in memory that does not
            grow with their height; None: `BAND_PIXELS` on a CPU, and all at once on a GPU. In bfloat16 on a CPU the
            result is the same to the bit.

        Raises
        ------
        ModelError
            There is no such model or decoder, or it cannot be read, or ``decoder`` names another realism.
        """
        model = load_model(name)
        if decoder is not None:
            load_decoder(model, decoder, realism)
        elif realism is None:
            del model.network.decoder
        else:
            raise ModelError(f"realism {realism:g}, but no decoder that it could be of: decoder is None")
        return cls(model, device=device, band_pixels=band_pixels)

    @property
    def makes_pictures(self) -> bool:
        """Whether there is a decoder."""
        return self._runner.has_decoder

    @property
    def band_pixels(self) -> int | None:
        """Panoramas of more pixels run in bands of rows of about so many; None: all run at once."""
        return self._runner.band_pixels

    @property
    def bfloat16(self) -> bool:
        """Whether networks run in bfloat16; else in float32. May be set; what was recorded before stays as it was."""
        return self._runner.bfloat16

    @bfloat16.setter
    def bfloat16(self, wanted: bool) -> None:
        self._runner.bfloat16 = wanted

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
        effort: Effort | str = Effort.FAST,
    ) -> Packet:
        """Encode a panorama within ``bpp`` bits per pixel, all of them counted, or keep the share ``tau``.

        Parameters
        ----------
        image : Any
            A path, an image file's bytes, a PIL image, an array or a tensor (see `images.arrays.pixels_of`).
        bpp : float, optional
            Bits per pixel, above 0; where everything costs less, everything is sent. With neither ``bpp`` nor
            ``tau``: 0.1, or the base layer, whichever is more; with ``step`` alone: all that pays.
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
        effort : Effort or str
            "medium", "slow": a closer picture in no more bits, see `refine`.

        Raises
        ------
        RateError
            The base layer alone costs more than ``bpp``, or a number is out of its range.
        ImageError
            No picture.
        ModelError
            ``effort`` is not "fast", and the model was loaded without a decoder.
        """
        image, sphere = _picture_of(image)
        tokens = self.tokens_of(
            image,
            bpp=bpp,
            tau=tau,
            step=step,
            ranking=ranking,
            reduction=reduction,
            robust=robust,
            focus=focus,
            effort=effort,
            beside=metadata_bits(sphere),
        )
        return self.pack(tokens).with_metadata(sphere)

    def tokens_of(
        self,
        image: NDArray[np.uint8],
        *,
        bpp: float | None = None,
        tau: float | None = None,
        step: int | None = None,
        ranking: Ranking | str | None = None,
        reduction: Fraction | None = None,
        robust: bool = False,
        focus: Sequence[Focus] = (),
        effort: Effort | str = Effort.FAST,
        beside: int = 0,
        progress: Progress | None = None,
    ) -> Tokens:
        """The tokens that `encode` packs, see there.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        beside : int
            Bits of ``bpp`` that the packet takes for what is no token, see `panolink.codec.bitstream.metadata_bits`.
        progress : callable, optional
            Called with how many rounds of `refine` are done, and of how many.
        """
        effort = Effort(effort)
        known: dict[Fraction, Tensor] = {}
        if reduction is None and tau is step is ranking is None:
            tokens = self._tokens_at(image, bpp, known, robust=robust, focus=focus, beside=beside)
        else:
            reduction = WHOLE if reduction is None else reduction
            _check_reduction(reduction)
            (known[reduction],) = self.extract([reduce(image, reduction)])
            tokens = self.quantize(
                known[reduction],
                size=(image.shape[0], image.shape[1]),
                bpp=bpp,
                tau=tau,
                step=step,
                ranking=ranking,
                reduction=reduction,
                robust=robust,
                focus=focus,
                beside=beside,
            )
        if effort is Effort.FAST:
            return tokens
        features = known[tokens.reduction]
        known.clear()  # those of other resolutions
        return self.refine(tokens, image, features=features, tau=tau, ranking=ranking, effort=effort, progress=progress)

    @torch.inference_mode(False)  # derivatives are needed, whatever the caller does without
    def refine(
        self,
        tokens: Tokens,
        image: NDArray[np.uint8],
        *,
        features: Tensor | None = None,
        tau: float | None = None,
        ranking: Ranking | str | None = None,
        effort: Effort | str = Effort.SLOW,
        progress: Progress | None = None,
    ) -> Tokens:
        """Choose a panorama's tokens anew by what the decoder makes of them, see `panolink.codec.refinement`.

        They take no more bits, and lose less with the decoder that is loaded; the same tokens come back where there are
        no better ones. Other machines may find others: networks run in floating point.

        Parameters
        ----------
        tokens : Tokens
            Of `tokens_at` or `quantize`.
        image : uint8 (H, W, 3)
            What they are of.
        features : float32 (1, dim, rows, cols), optional
            The encoder's, of ``image`` with its sides reduced as the tokens say; None: the encoder runs.
        tau : float, optional
            Share of the features kept, where they were quantised with one: it stays.
        ranking : Ranking or str, optional
            Of the tokens; None: the profile's.
        effort : Effort or str
            How many rounds; `fast`: none.
        progress : callable, optional
            Called with how many rounds are done, and of how many.

        Raises
        ------
        ModelError
            The model was loaded without a decoder.
        ImageError
            ``image`` is of another size than the panorama that the tokens are of.
        RateError
            ``tau`` is not from 0 to 1, or there is no such ranking or effort.
        """
        effort = Effort(effort)
        self._check_decoder()
        Budget(tau=tau)  # refuses what is no share
        if image.shape[:2] != (tokens.height, tokens.width):
            raise ImageError(
                f"image of {image.shape[1]}×{image.shape[0]} pixels; the tokens are of {tokens.width}×{tokens.height}"
            )
        if effort is Effort.FAST:
            return tokens
        picture = reduce(image, tokens.reduction)
        if features is None:
            (features,) = self.extract([picture])
        rows, cols = tokens.indices.shape
        weights = torch.from_numpy(token_weights(rows, cols, tokens.focus)).to(self.device)
        error = DecodingError(picture, weights, self._runner.pixels, structure=STRUCTURE)
        order = Ranking(ranking or self.model.profile.ranking)
        return refined(tokens, features, error, self.quantizer, order, effort=effort, tau=tau, progress=progress)

    def tokens_at(
        self,
        image: NDArray[np.uint8],
        bpp: float | None = None,
        *,
        features: dict[Fraction, Tensor] | None = None,
        robust: bool = False,
        focus: Sequence[Focus] = (),
        beside: int = 0,
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
        beside : int
            As of `tokens_of`.

        Raises
        ------
        RateError
            ``bpp`` is too little for any resolution.
        """
        return self._tokens_at(image, bpp, dict(features or {}), robust=robust, focus=focus, beside=beside)

    def _tokens_at(
        self,
        image: NDArray[np.uint8],
        bpp: float | None,
        known: dict[Fraction, Tensor],
        *,
        robust: bool,
        focus: Sequence[Focus],
        beside: int,
    ) -> Tokens:
        """`tokens_at`; features that are not ``known`` are added to them."""
        size, foci = (image.shape[0], image.shape[1]), quantized(focus)
        reductions = candidates(DEFAULT_BPP if bpp is None else bpp, size)

        def at(reduction: Fraction) -> RateController:
            if reduction not in known:
                (known[reduction],) = self.extract([reduce(image, reduction)])
            return self.quantizer.controller(
                known[reduction], size=size, reduction=reduction, robust=robust, focus=foci
            )

        rate, ranking = DEFAULT_BPP if bpp is None else bpp, Ranking(self.model.profile.ranking)
        Budget(bpp=rate)  # refuses what is no rate
        limits = [fine_enough(reduced_size(size, reduction)[1]) for reduction in reductions]
        found = choose_resolution(at, reductions, bits_room(rate, size, foci, beside), limits)
        if found:
            controller, point, room, coarsest = found
            return self.quantizer.filled(controller, point, room, ranking, coarsest=coarsest).within(room)[0]
        budget = Budget(tau=0) if bpp is None else Budget(bpp=bpp, beside=beside)
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
            The packet is of another model, or this one has no decoder.
        BitstreamError
            It is damaged.
        ReferenceNeededError
            It is one of a stream, predicted from another: see `StreamDecoder`.
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
        self._runner.record(size, batch=batch)

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

        Raises
        ------
        ImageError
            Another type or shape, a side of fewer than `SMALLEST_SIDE` or more than `MAX_SIDE` pixels, or more than
            `MAX_PIXELS` of them.
        ModelError
            The features are no finite numbers: the encoder's weights are damaged.
        """
        for image in images:
            pixels_of_bytes = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            if not pixels_of_bytes or min(image.shape[:2]) < SMALLEST_SIDE:
                wanted = f"uint8 (H, W, 3), each side at least {SMALLEST_SIDE}"
                raise ImageError(f"image of shape {image.shape} and type {image.dtype}; wanted {wanted}")
            if image.shape[0] * image.shape[1] > MAX_PIXELS:
                raise ImageError(f"image of {image.shape[1]}×{image.shape[0]} pixels; a packet holds {MAX_PIXELS}")
            if max(image.shape[:2]) > MAX_SIDE:
                raise ImageError(f"image of {image.shape[1]}×{image.shape[0]} pixels; a side holds {MAX_SIDE}")
        features: dict[int, Tensor] = {}
        for group in _by_shape([image.shape for image in images]):
            features |= zip(group, self._runner.encode([images[i] for i in group]), strict=True)
        if not all(bool(torch.isfinite(each).all()) for each in features.values()):
            raise ModelError(f"{self.name}: its encoder's features are no finite numbers; its weights are damaged")
        return [features[i] for i in range(len(images))]

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
        beside: int = 0,
    ) -> Tokens:
        """Features to tokens within a budget; ``bpp``, ``tau``, ``step``, ``ranking``, ``robust`` and
        ``focus`` as of `encode`, ``beside`` as of `tokens_of`.

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
        _check_reduction(reduction)
        order = Ranking(ranking or self.model.profile.ranking)
        controller = self.quantizer.controller(
            features, size=size, reduction=reduction, robust=robust, focus=quantized(focus)
        )
        if bpp is not None or tau is not None or step is not None:
            return self.quantizer.quantize(controller, Budget(bpp=bpp, tau=tau, step=step, beside=beside), order)
        try:
            return self.quantizer.quantize(controller, Budget(bpp=DEFAULT_BPP, beside=beside), order)
        except RateError:
            return self.quantizer.quantize(controller, Budget(tau=0), order)

    def pack(self, tokens: Tokens, *, stream: StreamPlace | None = None) -> Packet:
        """Entropy-code tokens into slices; ``stream``: where they are a whole picture of a stream."""
        return pack_tokens(self.quantizer.coder, tokens, fingerprint=self.fingerprint, stream=stream)

    def draft(self, tokens: Tokens, bits: NDArray[np.float32], *, stream: StreamPlace | None = None) -> Packet:
        """A packet of about the lengths that `pack` would give, see `panolink.codec.token_coding.draft_tokens`.

        Parameters
        ----------
        bits : float32 (number kept,)
            What each kept token takes, by the tables.
        """
        return draft_tokens(self.quantizer.coder, tokens, bits, fingerprint=self.fingerprint, stream=stream)

    def _check_decoder(self) -> None:
        if not self.makes_pictures:
            raise ModelError(f"model {self.name!r} was loaded without a decoder: it makes no pictures")

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
        return unpack_tokens(self.quantizer.coder, packet, self.token_grid(packet.header))

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
        self._check_decoder()
        images: dict[int, NDArray[np.uint8]] = {}
        for group in _by_shape([(t.height, t.width, *t.reduction.as_integer_ratio()) for t in tokens]):
            first = tokens[group[0]]
            inputs = (decoder_inputs(tokens[i], self.network.codebook) for i in group)
            pictures = self._runner.decode(inputs, (first.height, first.width), reduced=first.reduction != WHOLE)
            images |= zip(group, pictures, strict=True)
        return [np.ascontiguousarray(images[i]) for i in range(len(tokens))]


def _picture_of(source: Any) -> tuple[NDArray[np.uint8], SphereMetadata]:
    """Pixels of a file or of a picture in memory, and what a file says of its sphere."""
    from panolink.images.arrays import pixels_of
    from panolink.images.read import read_picture

    if isinstance(source, (str, Path, bytes)):
        picture = read_picture(source, allow_any_aspect=True)
        return picture.array, picture.sphere
    return pixels_of(source), NOTHING_KNOWN


def _check_reduction(reduction: Fraction) -> None:
    """Raise `RateError` where a packet could not say a reduction."""
    if reduction not in FROM_BPP:
        known = ", ".join(map(str, FROM_BPP))
        raise RateError(f"sides reduced by {reduction}; allowed: {known}")


def _by_shape(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(index)
    return list(groups.values())
