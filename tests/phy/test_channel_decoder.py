from typing import Any

import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.link.unequal_protection import assign_formats, default_schemes
from panolink.phy import Channel, Conditions, Modulation, Scheme, SegmentFormat, demodulate, modulate, warm_up
from panolink.phy.bler_curves import bler_curve
from panolink.phy.fec.ldpc_decoder import BeliefPropagationDecoder

QPSK_HALF = Scheme(Modulation.QPSK, 1 / 2)


def random_payloads(formats, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.bytes(fmt.payload_bytes) for fmt in formats]


@pytest.mark.parametrize("modulation", list(Modulation))
@pytest.mark.parametrize("rate", [1 / 20, 1 / 10, 1 / 5, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 5 / 6, 0.92])
def test_every_scheme_brings_all_lengths_back(modulation, rate):
    scheme = Scheme(modulation, rate)
    formats = [SegmentFormat(size, scheme) for size in (1, 2, 3, 17, 330, 475, 476, 1200, 5000)]
    payloads = random_payloads(formats)
    symbols = modulate(payloads, formats)
    assert symbols.dtype == np.complex64 and symbols.shape == (sum(fmt.symbols for fmt in formats),)
    reception = Channel(Conditions("ideal")).apply(symbols)
    assert demodulate(**vars(reception), formats=formats) == payloads


def test_empty_burst():
    symbols = modulate([], [])
    assert symbols.shape == (0,)
    assert demodulate(**vars(Channel(Conditions()).apply(symbols)), formats=[]) == []


def test_quality_comes_in_grades():
    """Interleaved Rayleigh: a third of the rows of indices arrives at −3 dB, two thirds at −1.4, the base layer at 0.5,
    and then a third of the features after the other. No cliff."""
    sizes = [("header", 40), ("mask", 250), *[("indices", 330)] * 9, *[("features", 330)] * 21]
    formats = assign_formats(sizes)
    payloads = random_payloads(formats)
    symbols = modulate(payloads, formats)
    rows = [2, 5, 8], [3, 6, 9]
    for snr_db, there in [
        (-3, {0, 1, *rows[0]}),
        (-1.4, {0, 1, *rows[0], *rows[1]}),
        (0.5, set(range(11))),
        (3.3, set(range(18))),
        (6, set(range(25))),
        (10, set(range(32))),
    ]:
        reception = Channel(Conditions("rayleigh", snr_db, coherence_symbols=128, seed=3)).apply(symbols)
        received = demodulate(**vars(reception), formats=formats)
        assert received == [payload if i in there else None for i, payload in enumerate(payloads)]


def test_what_the_crc_passes_is_right():
    """At the edge some segments fail; those that pass are what was sent, at every length."""
    formats = [SegmentFormat(size, QPSK_HALF) for size in range(20, 120)]
    payloads = random_payloads(formats)
    reception = Channel(Conditions("awgn", snr_db=0.9, seed=0)).apply(modulate(payloads, formats))
    received = demodulate(**vars(reception), formats=formats)
    passed = [(a, b) for a, b in zip(received, payloads, strict=True) if a is not None]
    assert 10 < len(passed) < 95
    assert all(a == b for a, b in passed)


@pytest.mark.parametrize(
    "decoder",
    [
        pytest.param(None, id="layered"),
        pytest.param(BeliefPropagationDecoder("cpu"), id="flooding", marks=pytest.mark.slow),
    ],
)
def test_repetition_is_worth_its_power(decoder):
    """Rate 1/10 sends the code of rate 1/5 twice: 3 dB less are enough, where rate 1/5 loses everything."""
    repeated, once = (bler_curve(Scheme(Modulation.QPSK, rate)) for rate in (1 / 10, 1 / 5))
    assert repeated.median_db == pytest.approx(once.median_db - 10 * np.log10(2), abs=0.15)
    at = repeated.snr_at(0.01) + 0.3
    for rate, lost in ((1 / 10, 0), (1 / 5, 6)):
        formats = [SegmentFormat(330, Scheme(Modulation.QPSK, rate))] * 6
        reception = Channel(Conditions("awgn", at, seed=0)).apply(modulate([bytes(330)] * 6, formats))
        assert demodulate(**vars(reception), formats=formats, decoder=decoder).count(None) == lost


def test_lost_blocks_are_erasures_and_a_lost_burst_is_no_payload():
    formats = [SegmentFormat(200, Scheme(Modulation.QPSK, 1 / 5))] * 5
    payloads = random_payloads(formats)
    reception = Channel(Conditions("awgn", snr_db=10, seed=0)).apply(modulate(payloads, formats))
    reception.csi[::3] = 0
    assert demodulate(**vars(reception), formats=formats) == payloads
    reception.csi[:] = 0
    assert demodulate(**vars(reception), formats=formats) == [None] * 5  # not five times 200 zeros


def test_another_length_of_as_many_symbols_does_not_pass():
    payload = bytes(200)
    symbols = modulate([payload], [SegmentFormat(200, QPSK_HALF)])
    reception = Channel(Conditions("ideal")).apply(symbols)
    with pytest.raises(SignalError, match="burst of 1624 symbols; its 1 segments make 1632"):
        demodulate(**vars(reception), formats=[SegmentFormat(201, QPSK_HALF)])
    shorter = SegmentFormat(94, Scheme(Modulation.QPSK, 776 / 3248))
    assert shorter.symbols == symbols.size
    assert demodulate(**vars(reception), formats=[shorter]) == [None]


def test_a_decoder_may_be_chosen():
    formats = [SegmentFormat(5, QPSK_HALF), SegmentFormat(9, QPSK_HALF)]
    payloads = random_payloads(formats)
    reception = Channel(Conditions("awgn", snr_db=12, seed=0)).apply(modulate(payloads, formats))
    assert demodulate(**vars(reception), formats=formats, decoder=BeliefPropagationDecoder("cpu")) == payloads


def test_warm_up_decodes_each_of_the_schemes(monkeypatch: pytest.MonkeyPatch):
    schemes, decoded = {scheme for schemes in default_schemes().values() for scheme in schemes}, set()

    def noted(*args: Any, formats: list[SegmentFormat], **kwargs: Any) -> list[bytes | None]:
        found = demodulate(*args, formats=formats, **kwargs)
        decoded.update(one.scheme for one in formats)
        return found

    monkeypatch.setattr("panolink.phy.channel_decoder.demodulate", noted)
    warm_up(schemes, payload_bytes=20)
    assert decoded == schemes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": np.full(1624, np.nan, np.complex64)}, "symbols: 1624 of 1624 are not finite"),
        ({"symbols": np.full(1624, np.inf, np.complex64)}, "symbols: 1624 of 1624 are not finite"),
        ({"symbols": np.ones(1623, np.complex64)}, "burst of 1623 symbols"),
        ({"csi": np.full(7, np.nan, np.complex64)}, "csi: 7 of 7 are not finite"),
        ({"csi": np.ones(6, np.complex64)}, "6 channel gains for 1624 symbols in blocks of 256; expected 7"),
        ({"coherence_symbols": 0}, "coherence_symbols is 0"),
        ({"noise_variance": -1.0}, "noise_variance is -1.0"),
        ({"noise_variance": float("nan")}, "noise_variance is nan"),
    ],
)
def test_bursts_that_make_no_sense_are_refused(change, message):
    formats = [SegmentFormat(200, QPSK_HALF)]
    reception = vars(Channel(Conditions()).apply(modulate([bytes(200)], formats)))
    with pytest.raises(SignalError, match=message):
        demodulate(**{**reception, **change}, formats=formats)
