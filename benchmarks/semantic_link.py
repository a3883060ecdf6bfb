"""Panolink's codec over the air, for benchmarks: digital at a choice of schemes, or with analogue features."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

import panolink
from benchmarks.segment_loss import COHERENCE_SYMBOLS, Draw
from panolink.codec.autoencoder import guidance_planes, look_up
from panolink.codec.bitstream import Layer, Packet
from panolink.codec.concealment import conceal
from panolink.codec.rate import COARSEST_STEP, FINEST_STEP
from panolink.codec.tables import LEVEL_ZERO
from panolink.codec.tokens import steps_of_rows
from panolink.errors import RateError
from panolink.images import resized
from panolink.phy.adaptation import Protection, SymbolBudget, fill
from panolink.phy.analogue import AnalogueLayer, chosen
from panolink.phy.channel import Reception

Payloads = Sequence[bytes | None]
_EXCESS_BYTES = 4
_SHARES = (0.25, 0.5, 1.0)
_DESIGN_N0 = 0.1  # the SNR for which the share of analogue tokens is chosen: 10 dB


def slices_of(packet: Packet) -> list[tuple[str, bytes]]:
    return [(str(piece.layer), piece.payload or b"") for piece in packet.slices]


def arrives(layers: Sequence[str], lost: np.ndarray) -> bool:
    """Whether there is a picture: the header, and at least one slice of the indices. `layers` of what is sent."""
    return not lost[0] and any(layer == Layer.INDICES and not gone for layer, gone in zip(layers, lost, strict=True))


@dataclass
class Subject:
    """A panorama and what the codec makes of it, its sides shrunk by a factor."""

    codec: panolink.Codec
    image: np.ndarray
    shrink: int = 1
    _packets: dict[float, list[tuple[str, bytes]]] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as coded."""
        return self.image.shape[0] // self.shrink, self.image.shape[1] // self.shrink

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @cached_property
    def features(self) -> torch.Tensor:
        return self.codec.extract([resized(self.image, self.size)])[0]

    def enlarged(self, picture: np.ndarray) -> np.ndarray:
        """A received picture at the size of the original, as a viewer shows it."""
        height, width = self.image.shape[:2]
        return resized(picture, (height, width))

    def pack(self, bpp: float) -> list[tuple[str, bytes]]:
        """As `adaptation.fill` wants it: 0 is the base layer alone."""
        if bpp not in self._packets:
            tau = None if bpp else 0.0
            tokens = self.codec.quantize(self.features, size=self.size, bpp=bpp or None, tau=tau, robust=True)
            self._packets[bpp] = slices_of(self.codec.pack(tokens))
        return self._packets[bpp]


class Digital:
    """All layers coded, at the rate that fills the budget."""

    def __init__(self, subject: Subject, budget: SymbolBudget, choice: Protection) -> None:
        self.subject = subject
        plan = fill(subject.pack, budget, choice, pixels=subject.pixels)
        self.slices, self.formats, self.symbols = list(plan.slices), plan.formats, plan.symbols
        self._unsent = plan.unsent
        self.layers = [name for i, (name, payload) in enumerate(self.slices) if payload and i not in self._unsent]

    @cached_property
    def digest(self) -> str:
        """Of what is sent: names results in a cache."""
        sent = b"|".join(b"" if i in self._unsent else payload for i, (_, payload) in enumerate(self.slices))
        return hashlib.sha256(sent).hexdigest()[:16]

    def key(self, draw: Draw, snr_db: float) -> str:
        """What a picture depends on: what was sent, and which segments of it were lost."""
        lost = draw.lost(self.formats, snr_db)
        return f"{self.digest}-{np.packbits(lost).tobytes().hex() if lost.any() else 'all'}"

    def receive(self, draw: Draw, snr_db: float) -> np.ndarray | None:
        """The picture uint8 (H, W, 3); None where there is none (see `arrives`)."""
        gone = draw.lost(self.formats, snr_db)
        if not arrives(self.layers, gone):
            return None
        lost = iter(gone)
        payloads: Payloads = [
            None if i in self._unsent or (payload and next(lost)) else payload
            for i, (_, payload) in enumerate(self.slices)
        ]
        return self.subject.enlarged(self.subject.codec.decode(Packet.from_payloads(payloads)))


class _Choice(NamedTuple):
    """Kept tokens (rows, cols), and of them the values that are sent: token and dimension, by index slice."""

    kept: np.ndarray
    values: list[tuple[np.ndarray, np.ndarray]]


class Analogue:
    """Header, mask and indices coded; of the features what the remaining symbols carry, as amplitudes.

    Both ends choose the values from mask, indices and the codebook's scales, by index slice: a lost slice takes its
    own values along and no others. Tokens are kept by the codec's ranking; how many, is tried out.
    """

    def __init__(self, subject: Subject, budget: SymbolBudget, choice: Protection) -> None:
        self.subject, codec = subject, subject.codec
        tables, coder = codec.model.tables, codec.quantizer.coder
        base = codec.quantize(subject.features, size=subject.size, tau=0.0, robust=True)
        rows = len(base.indices)
        self.indices, self._slices = base.indices, base.slices
        levels = tables.levels[base.indices].astype(np.int64)  # (rows, cols, dim)
        self.scales = np.sqrt(2) * np.exp2((levels - LEVEL_ZERO) / 4)  # of a Laplace law, scale b: √2·b
        # A step of two quarter octaves for each halving of a token's solid angle: √weight, see codec/tokens.py.
        self.worth = levels - steps_of_rows(rows)[:, None, None]
        codes = look_up(torch.from_numpy(base.indices)[None].to(codec.device), codec.network.codebook)
        self.codes = codes[0].permute(1, 2, 0).float().cpu().numpy()
        self.difference = subject.features[0].permute(1, 2, 0).float().cpu().numpy() - self.codes

        indices = coder.encode_indices(base.indices, self._slices)
        best = np.inf
        for share in _SHARES:
            kept = codec.quantize(subject.features, size=subject.size, tau=share, robust=True).kept
            packet = Packet.build(
                fingerprint=codec.fingerprint,
                size=subject.size,
                step=0,
                mask=coder.encode_mask(kept),
                indices=indices,
                features=[],
            )
            slices = [*slices_of(packet), (str(Layer.HEADER), bytes(_EXCESS_BYTES))]
            planned = fill(lambda _, s=slices: s, budget, choice, pixels=subject.pixels)
            if planned.unsent:
                continue  # the base layer takes more than there is
            left = budget.symbols - planned.symbols
            picked = self._pick(kept, 2 * left)
            if (error := self._expected_error(picked)) < best:
                best, self._picked, self.share = error, picked, share
                self.slices, self.formats = slices, planned.formats
        if not np.isfinite(best):
            raise RateError(f"budget of {budget.symbols} symbols leaves none for analogue features")
        self.layers = [name for name, payload in self.slices if payload]
        self.layer = AnalogueLayer(_sent(self.scales, self._picked), _sent(self.worth, self._picked))
        self.sent, self.excess = self.layer.modulate(_sent(self.difference, self._picked))
        self.symbols = sum(fmt.symbols for fmt in self.formats) + self.layer.symbols

    @cached_property
    def digest(self) -> str:
        digital = b"|".join(payload for _, payload in self.slices)
        return hashlib.sha256(digital + self.sent.tobytes()).hexdigest()[:16]

    def key(self, draw: Draw, snr_db: float) -> str:
        """Noise is part of the picture here: no two draws give the same."""
        return f"{self.digest}-{draw.air}-{snr_db:g}-{'-'.join(map(str, draw.seed))}"

    def receive(self, draw: Draw, snr_db: float) -> np.ndarray | None:
        """The picture uint8 (H, W, 3); None where there is none (see `arrives`)."""
        lost = draw.lost(self.formats, snr_db)
        if not arrives(self.layers, lost):
            return None
        n0 = 10 ** (-snr_db / 10)
        n = self.layer.symbols
        csi = draw.gains(-(-n // COHERENCE_SYMBOLS), what=2).astype(np.complex64)
        rng = np.random.default_rng((*draw.seed, 3))
        noise = (rng.standard_normal((n, 2)) @ np.array([1, 1j]) * np.sqrt(n0 / 2)).astype(np.complex64)
        heard = np.repeat(csi, COHERENCE_SYMBOLS)[:n] * self.sent + noise
        reception = Reception(heard, csi, COHERENCE_SYMBOLS, n0)
        values, errors = self.layer.estimate(**vars(reception), excess=self.excess)
        guessed = np.zeros(self.indices.shape, bool)
        for s, place in enumerate(i for i, layer in enumerate(self.layers) if layer == Layer.INDICES):
            guessed[s :: self._slices] = lost[place]
        side_lost = any(lost[i] for i, layer in enumerate(self.layers) if layer == Layer.MASK) or lost[-1]
        return self._picture(values, errors, guessed, enhanced=not side_lost)

    @torch.inference_mode()
    def _picture(self, values: np.ndarray, errors: np.ndarray, guessed: np.ndarray, *, enhanced: bool) -> np.ndarray:
        codec = self.subject.codec
        features, kept = self.codes.copy(), np.zeros(self.indices.shape, bool)
        if enhanced:
            before = 0
            for tokens, dims in self._picked.values:
                features.reshape(-1, features.shape[2])[tokens, dims] += values[before : before + tokens.size]
                before += tokens.size
            kept = self._picked.kept & ~guessed
        features[guessed] = 0
        # The decoder is told of a step; one of this width makes errors as large as those of these values.
        step = 4 * np.log2(np.sqrt(12 * max(float(errors.mean()) if errors.size else 0, 1e-6)))
        step = int(np.clip(round(step), FINEST_STEP, COARSEST_STEP))
        rows, cols = self.indices.shape
        steps = torch.from_numpy(step + steps_of_rows(rows))[None, :, None].expand(1, rows, cols)
        lost = torch.from_numpy(guessed)[None].to(codec.device)
        planes = torch.from_numpy(features).permute(2, 0, 1)[None].to(codec.device)
        guidance = guidance_planes(torch.from_numpy(kept)[None], steps, lost.cpu()).to(codec.device)
        height, width = self.subject.size
        pixels = codec.network.decoder(conceal(planes, lost), guidance)[0, :, :height, :width]
        picture = pixels.clamp(0, 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return self.subject.enlarged(np.ascontiguousarray(picture))

    def _pick(self, kept: np.ndarray, count: int) -> _Choice:
        """The worthiest values of the kept tokens, each index slice with as many as its share of these tokens."""
        dim = self.worth.shape[2]
        worth = self.worth.reshape(-1, dim)
        values = []
        for s in range(self._slices):
            tokens = np.zeros_like(kept)
            tokens[s :: self._slices] = kept[s :: self._slices]
            members = np.flatnonzero(tokens)
            places = chosen(worth[members].ravel(), max(count, 0) * members.size // max(int(kept.sum()), 1))
            values.append((members[places // dim], places % dim))
        return _Choice(kept, values)

    def _expected_error(self, picked: _Choice) -> float:
        """Weighted squared error of all features at the design SNR."""
        weight = np.broadcast_to(
            np.exp2(-steps_of_rows(self.indices.shape[0]) / 2)[:, None, None], self.difference.shape
        ).reshape(-1, self.difference.shape[2])
        flat = self.difference.reshape(weight.shape)
        error = float((weight * flat**2).sum())
        layer = AnalogueLayer(_sent(self.scales, picked), _sent(self.worth, picked))
        if not layer.symbols:
            return np.inf
        left = _DESIGN_N0 / 2 / (layer.powers + _DESIGN_N0 / 2)
        sent = _sent((weight * flat**2).reshape(self.difference.shape), picked)
        return error - float(((1 - left) * sent).sum())


def _sent(values: np.ndarray, picked: _Choice) -> np.ndarray:
    """Those of values (rows, cols, dim) that are sent, in order."""
    flat = values.reshape(-1, values.shape[2])
    return np.concatenate([flat[tokens, dims] for tokens, dims in picked.values])
