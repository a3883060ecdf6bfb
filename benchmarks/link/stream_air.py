"""Streams through fading channels: this link beside x265 and 5G LDPC, the same symbols a picture and the same air.

Both go through the same modulation, channel and decoding (`panolink.phy`). Of x265 every lost piece breaks its picture,
and all that rest on it until the next key picture: the last good one stays on the screen. It has a key picture each
second, and is told at each channel with the scheme of `SCHEMES` that turned out best there.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.lib.video_codecs import coded_video
from benchmarks.link.separate_coding import pieces, room
from benchmarks.link.stream_scenes import scene
from panolink.codec.codec import Codec
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.link.receiver import BurstDecoder, Receiver
from panolink.link.segments import Segment
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.link.unequal_protection import Choice
from panolink.metrics.viewport import vpsnr
from panolink.phy import Channel, Conditions, Modulation, Scheme, modulate
from panolink.phy.fec.ldpc_decoder import decoder_for
from panolink.phy.mcs import MCS_TABLE

FPS = 10.0
SYMBOLS_PER_PIXEL = 0.05
COHERENCE_SYMBOLS = 2048
"""of Rayleigh fading: a picture of 1024×512 meets a dozen fades"""
SCHEMES = (*MCS_TABLE, Scheme(Modulation.QPSK, 5 / 12))
"""all that this link chooses from, and one between two of them that suits x265"""
KEY_INTERVAL = 10
BUFFER_PICTURES = 2
"""times a picture's symbols that one of x265's may take: a key picture then comes a picture late"""

Air = Callable[[int], Conditions]


def airs(count: int) -> dict[str, tuple[Air, Callable[[int], float]]]:
    """By name: the conditions of each picture, and the mean SNR in dB that the picture before it met."""

    def rayleigh(snr_db: float) -> tuple[Air, Callable[[int], float]]:
        def at(number: int) -> Conditions:
            return Conditions("rayleigh", snr_db=snr_db, coherence_symbols=COHERENCE_SYMBOLS, seed=1000 + number)

        return at, lambda number: snr_db

    def fade(number: int) -> float:
        """15 dB, and for a second in the middle down to −6 dB and up again."""
        away = abs(number - count // 2) / 5
        return 15.0 if away >= 1 else 15.0 - 21.0 * (1 - away)

    def deep(number: int) -> Conditions:
        return Conditions("awgn", snr_db=fade(number), seed=1000 + number)

    return {
        "rayleigh 10 dB": rayleigh(10.0),
        "rayleigh 5 dB": rayleigh(5.0),
        "deep fade": (deep, lambda number: fade(max(number - 1, 0))),
    }


def over_link(codec: Codec, pictures: Sequence[np.ndarray], air: Air, expected: Callable[[int], float]) -> list[float]:
    """VPSNR of what is on the screen after each picture, sent adaptively as a stream."""
    stream, transmitter, receiver = StreamEncoder(codec, robust=True), Transmitter(codec), Receiver(codec)
    budget = SymbolBudget.per_pixel(SYMBOLS_PER_PIXEL, pixels=pictures[0].shape[0] * pictures[0].shape[1])
    shown, scores = np.full_like(pictures[0], 128), []
    for number, picture in enumerate(pictures):
        conditions = air(number)
        choice = Choice(expected(number), fading=float(conditions.model == "rayleigh"))
        sent = transmitter.transmit(picture, RateRequest(budget=budget, protection=choice), stream=stream)
        arrived = Channel(conditions).apply(sent.symbols)
        received = receiver.receive(segments=sent.segments, **vars(arrived))
        failed = received.picture is None
        stream.acknowledge(sent.number, {0} if failed else {*sent.unsent, *received.lost})
        shown = shown if received.picture is None else received.picture
        scores.append(vpsnr(picture, shown))
    return scores


def over_ldpc(pictures: Sequence[np.ndarray], air: Air, scheme: Scheme) -> list[float] | None:
    """The same of x265 with one scheme; None where it cannot code so low."""
    pixels = pictures[0].shape[0] * pictures[0].shape[1]
    bits = 8 * room(int(SYMBOLS_PER_PIXEL * pixels), scheme)
    coded = coded_video(
        pictures, "x265", bits * FPS, fps=FPS, key_interval=KEY_INTERVAL, buffer_seconds=BUFFER_PICTURES / FPS
    )
    decoder, shown, broken, scores = decoder_for("cpu"), np.full_like(pictures[0], 128), True, []
    for number, (packet, picture, key) in enumerate(zip(coded.packets, coded.pictures, coded.keys, strict=True)):
        formats = pieces(len(packet), scheme)
        ends = np.cumsum([fmt.payload_bytes for fmt in formats])
        payloads = [packet[end - fmt.payload_bytes : end] for end, fmt in zip(ends, formats, strict=True)]
        burst = BurstDecoder([Segment("features", fmt) for fmt in formats], decoder)
        burst.decode(**vars(Channel(air(number)).apply(modulate(payloads, formats))))
        broken = bool(burst.needed) or (broken and not key)
        shown = shown if broken else picture
        scores.append(vpsnr(pictures[number], shown))
    return scores


def through_the_air(codec: Codec, panoramas: dict[str, np.ndarray], count: int) -> dict[str, Any]:
    """VPSNR by picture, channel, panorama and sender."""
    found: dict[str, Any] = {}
    for name, (air, expected) in airs(count).items():
        rows: dict[str, list[list[float]]] = {}
        for panorama in panoramas.values():
            pictures = list(scene(panorama, "objects", count))
            rows.setdefault("panolink", []).append(over_link(codec, pictures, air, expected))
            for scheme in SCHEMES:
                if scores := over_ldpc(pictures, air, scheme):
                    rows.setdefault(f"x265 {scheme}", []).append(scores)
        found[name] = rows
        summary = {who: f"{np.mean(of):.2f}" for who, of in rows.items()}
        print(name, summary, file=sys.stderr, flush=True)
    return found
