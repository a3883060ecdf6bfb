"""This link over the air, for benchmarks: what the transmitter sends, and what the receiver makes of it.

Both are the services' own code; only the air between them is `segment_loss.py`'s.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from benchmarks.link.segment_loss import COHERENCE_SYMBOLS, Air, Draw
from panolink.codec.bitstream import Layer, Packet
from panolink.errors import RateError
from panolink.link.analog_coding import code_analog
from panolink.link.analog_features import received
from panolink.link.coding import Coding
from panolink.link.rate_allocation import allocate
from panolink.link.symbol_budget import Plan, SymbolBudget
from panolink.link.unequal_protection import Protection
from panolink.phy.channel.model import expand_gains
from panolink.phy.channel_decoder import ReceivedSegment
from panolink.phy.modem.interleaving import interleaver


def arrives(layers: Sequence[str], lost: np.ndarray) -> bool:
    """Whether there is a picture: the header, and at least one slice of the indices. `layers` of what is sent."""
    return not lost[0] and any(layer == Layer.INDICES and not gone for layer, gone in zip(layers, lost, strict=True))


class Digital:
    """All layers coded, at the rate that fills the budget."""

    def __init__(self, coding: Coding, budget: SymbolBudget, protection: Protection) -> None:
        self._codec, self._plan = coding.codec, allocate(coding, budget, protection).plan
        self.formats, self.symbols = self._plan.formats, self._plan.symbols
        self.layers = [layer for layer, _ in _sent(self._plan)]
        self.digest = hashlib.sha256(b"|".join(payload for _, payload in _sent(self._plan))).hexdigest()[:16]

    def key(self, draw: Draw, snr_db: float) -> str:
        """What a picture depends on: what was sent, and which segments of it were lost."""
        lost = draw.lost(self.formats, snr_db)
        return f"{self.digest}-{np.packbits(lost).tobytes().hex() if lost.any() else 'all'}"

    def receive(self, draw: Draw, snr_db: float) -> np.ndarray | None:
        """The picture uint8 (H, W, 3); None where there is none (see `arrives`)."""
        lost = draw.lost(self.formats, snr_db)
        if not arrives(self.layers, lost):
            return None
        return self._codec.decode(Packet.from_payloads(_arrived(self._plan, lost)))


class Analogue:
    """Header, mask and indices coded; of the features what the remaining symbols carry, as amplitudes."""

    def __init__(self, coding: Coding, budget: SymbolBudget, protection: Protection) -> None:
        coded = code_analog(coding, budget, protection)
        if coded is None:
            raise RateError(f"budget of {budget.symbols} symbols leaves none for analogue features")
        self._codec, self._coded = coding.codec, coded
        plan, self._amplitudes = coded.plan, coded.amplitudes
        self.formats, self.layers = plan.formats, [layer for layer, _ in _sent(plan)]
        self.symbols = plan.symbols + sum(map(len, self._amplitudes))
        sent = [*(payload for _, payload in _sent(plan)), *(one.tobytes() for one in self._amplitudes)]
        self.digest = hashlib.sha256(b"|".join(sent)).hexdigest()[:16]

    def key(self, draw: Draw, snr_db: float) -> str:
        """Noise is part of the picture here: no two draws give the same."""
        lost = np.packbits(draw.lost(self.formats, snr_db)).tobytes().hex()
        return f"{self.digest}-{draw.air}-{snr_db:g}-{'-'.join(map(str, draw.seed))}-{lost}"

    def receive(self, draw: Draw, snr_db: float) -> np.ndarray | None:
        """The picture uint8 (H, W, 3); None where there is none (see `arrives`)."""
        lost = draw.lost(self.formats, snr_db)
        if not arrives(self.layers, lost):
            return None
        *slices, gain_corrections = _arrived(self._coded.plan, lost)
        segments = self._segments(draw, snr_db)
        tokens = received(self._codec, Packet.from_payloads(slices), segments, self._coded.values, gain_corrections)
        return self._codec.reconstruct([tokens])[0]

    def _segments(self, draw: Draw, snr_db: float) -> list[ReceivedSegment]:
        """Each slice's amplitudes, faded and with noise on them."""
        lengths = [len(one) for one in self._amplitudes]
        n, n0 = sum(lengths), 10 ** (-snr_db / 10)
        if draw.air is Air.SEGMENT:
            gains = np.repeat(draw.gains(len(lengths), what=2), lengths)
        else:
            blocks = draw.gains(-(-n // COHERENCE_SYMBOLS), what=2)
            gains = expand_gains(blocks, COHERENCE_SYMBOLS, n)[interleaver(n)]
        rng = np.random.default_rng((*draw.seed, 3))
        noise = rng.standard_normal((n, 2)) @ np.array([1, 1j]) * np.sqrt(n0 / 2)
        symbols = gains * np.concatenate(self._amplitudes) + noise
        ends = np.cumsum(lengths)[:-1]
        slices = zip(np.split(symbols, ends), np.split(gains, ends), strict=True)
        return [ReceivedSegment(y.astype(np.complex64), h.astype(np.complex64), n0) for y, h in slices]


def _sent(plan: Plan) -> list[tuple[str, bytes]]:
    """Layers and payloads that take symbols."""
    return [piece for i, piece in enumerate(plan.slices) if piece[1] and i not in plan.unsent]


def _arrived(plan: Plan, lost: np.ndarray) -> list[bytes | None]:
    """The payloads of all slices; None where one was lost or not sent. `lost`: of those that take symbols."""
    gone = iter(lost)
    return [
        None if i in plan.unsent or (payload and next(gone)) else payload for i, (_, payload) in enumerate(plan.slices)
    ]
