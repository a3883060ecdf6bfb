import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Channel, Conditions, Modulation, Scheme, SegmentFormat, demodulate, modulate
from panolink.phy.bler_curves import bler_curve
from panolink.phy.fec.ldpc import ldpc_code
from panolink.phy.harq import CHASE, CHASE_FIRST, INCREMENTAL, HarqReceiver, HarqSender

SIZE = 330
QPSK_TWO_THIRDS = Scheme(Modulation.QPSK, 2 / 3)


def failures(versions, scheme: Scheme, snr_db: float, *, rounds: int, count: int = 60, seed: int = 0) -> list[int]:
    """How many of `count` segments still fail after each round, all of them sent in each."""
    rng = np.random.default_rng(seed)
    formats = [SegmentFormat(SIZE, scheme)] * count
    payloads = [rng.bytes(SIZE) for _ in formats]
    sender, receiver = HarqSender(payloads, formats, versions=versions), HarqReceiver(formats, versions=versions)
    channel = Channel(Conditions("awgn", snr_db, coherence_symbols=64, seed=seed))
    asked, failed = list(range(count)), []
    for number in range(rounds):
        asked = receiver.receive(channel.apply(sender.burst(asked, number)), asked, number)
        failed.append(len(asked))
    arrived = [(a, b) for a, b in zip(receiver.payloads, payloads, strict=True) if a is not None]
    assert len(arrived) == count - failed[-1] and all(a == b for a, b in arrived)
    return failed


@pytest.mark.parametrize(("scheme", "slack_db"), [(QPSK_TWO_THIRDS, 0.25), (Scheme(Modulation.QAM16, 1 / 2), 0.45)])
def test_chase_combining_is_worth_the_doubled_snr(scheme, slack_db):
    """The curve of one round moves by 3.01 dB. Of 16-QAM soft bits are added, not symbols, which costs a little."""
    curve, gain = bler_curve(scheme), 10 * np.log10(2)
    first, second = failures(CHASE, scheme, curve.snr_at(0.01) - gain + slack_db, rounds=2)
    assert first == 60 and second <= 2
    assert failures(CHASE, scheme, curve.snr_at(0.99) - gain - 0.25, rounds=2)[1] >= 58


def test_four_rounds_of_chase_are_worth_six_decibels():
    curve = bler_curve(QPSK_TWO_THIRDS)
    failed = failures(CHASE, QPSK_TWO_THIRDS, curve.snr_at(0.01) - 10 * np.log10(4) + 0.25, rounds=4)
    assert failed[:3] == [60, 60, 60] and failed[3] <= 2


def test_incremental_redundancy_is_worth_the_lower_rate():
    """Two rounds at 2/3 are a code of rate 1/3: within 0.5 dB of the one that was made for it, and beyond chase."""
    made_for_it, needed = bler_curve(Scheme(Modulation.QPSK, 1 / 3)), bler_curve(QPSK_TWO_THIRDS)
    at = made_for_it.snr_at(0.01) + 0.5
    assert at < needed.median_db - 10 * np.log10(2) - 0.5  # where chase would lose everything
    assert failures(INCREMENTAL, QPSK_TWO_THIRDS, at, rounds=2)[1] <= 2
    assert failures(CHASE, QPSK_TWO_THIRDS, at, rounds=2)[1] == 60
    # No code of rate 1/3 does it 0.5 dB below where that one fails.
    assert failures(INCREMENTAL, QPSK_TWO_THIRDS, made_for_it.snr_at(0.99) - 0.5, rounds=2)[1] == 60


def test_chase_first_then_other_bits():
    """Rounds 1 and 2 as chase, round 3 as incremental redundancy."""
    needed = bler_curve(QPSK_TWO_THIRDS)
    at = needed.snr_at(0.01) - 10 * np.log10(3) - 0.7  # too little for three rounds of the same bits
    assert failures(CHASE, QPSK_TWO_THIRDS, at, rounds=3)[2] > 30
    assert failures(CHASE_FIRST, QPSK_TWO_THIRDS, at, rounds=3)[2] <= 2


def test_only_what_failed_is_sent_again():
    """Half of a burst erased: the second round is half as long, and all arrive."""
    formats = [SegmentFormat(SIZE, QPSK_TWO_THIRDS)] * 10
    payloads = [bytes([i]) * SIZE for i in range(10)]
    sender, receiver = HarqSender(payloads, formats), HarqReceiver(formats)  # a repetition can stand alone
    channel = Channel(Conditions("awgn", 6, erasure_rate=0.5, seed=1))
    burst = sender.burst(range(10), 0)
    asked = receiver.receive(channel.apply(burst, formats=formats), range(10), 0)
    assert 0 < len(asked) < 10
    assert [receiver.payloads[i] for i in range(10) if i not in asked] == [
        p for i, p in enumerate(payloads) if i not in asked
    ]
    again = sender.burst(asked, 1)
    assert again.size == len(asked) * formats[0].symbols
    assert receiver.receive(Channel(Conditions("awgn", 6, seed=2)).apply(again), asked, 1) == []
    assert receiver.payloads == payloads


def test_a_single_round_is_what_the_link_does_without():
    formats = [SegmentFormat(size, Scheme(Modulation.QAM64, 3 / 4)) for size in (5, 60, 330, 1000)]
    payloads = [np.random.default_rng(size).bytes(fmt.payload_bytes) for size, fmt in enumerate(formats)]
    burst = HarqSender(payloads, formats).burst(range(4), 0)
    assert np.array_equal(burst, modulate(payloads, formats))
    reception = Channel(Conditions("awgn", 16, seed=0)).apply(burst)
    receiver = HarqReceiver(formats)
    assert receiver.receive(reception, range(4), 0) == []
    assert receiver.payloads == demodulate(**vars(reception), formats=formats) == payloads


@pytest.mark.parametrize("modulation", list(Modulation))
@pytest.mark.parametrize(("size", "rate"), [(1, 1 / 5), (60, 1 / 2), (330, 2 / 3), (1000, 5 / 6), (330, 1 / 5)])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions_alone_and_at_all_lengths(size, rate, modulation, version):
    """Every version sends bits of the word that are not fillers; with version 0 it brings every length back."""
    fmt = SegmentFormat(size, Scheme(modulation, rate))
    code = ldpc_code(fmt.blocks.k, fmt.blocks.n, modulation.bits)
    places = code.sent_positions(version)
    assert places.size == code.n and places.min() >= 2 * code.graph.z and places.max() < code.graph.width * code.graph.z
    assert not ((places >= code.k) & (places < code.k + code.filler)).any()
    payload = np.random.default_rng(size).bytes(size)
    versions = (0, version)
    sender, receiver = HarqSender([payload], [fmt], versions=versions), HarqReceiver([fmt], versions=versions)
    erased = Channel(Conditions("awgn", 20, erasure_rate=1, seed=0)).apply(sender.burst([0], 0), formats=[fmt])
    assert receiver.receive(erased, [0], 0) == [0]
    # Half of the first round, and the second: enough bits whatever the version is.
    half = Channel(Conditions("awgn", 25, coherence_symbols=1, seed=0)).apply(sender.burst([0], 0))
    half.csi[::2] = 0
    receiver.receive(half, [0], 0)
    assert receiver.receive(Channel(Conditions("awgn", 25, seed=0)).apply(sender.burst([0], 1)), [0], 1) == []
    assert receiver.payloads == [payload]


def test_version_starts_are_those_of_the_standard():
    """TS 38.212 table 5.4.2.1-2, on a code without fillers."""
    for k, n, starts in ((3200, 6400, (0, 13, 25, 43)), (8448, 10560, (0, 17, 33, 56))):
        code = ldpc_code(k, n, 2)
        assert code.filler == 0
        assert [int(code.sent_positions(v).min()) // code.graph.z - 2 for v in range(3)] == list(starts[:3])
        assert int(code.sent_positions(3)[0]) // code.graph.z - 2 == starts[3]
    wrapped = ldpc_code(3200, 6400, 2).sent_positions(3)  # 43 of 50 columns on: 20 columns go around
    assert wrapped.min() == 2 * 320


def test_what_cannot_be_is_refused():
    formats = [SegmentFormat(10, QPSK_TWO_THIRDS)]
    with pytest.raises(SignalError, match=r"redundancy versions \(1, 0\); allowed: 0 first"):
        HarqReceiver(formats, versions=(1, 0))
    with pytest.raises(SignalError, match="1 payloads but 2 segment formats"):
        HarqSender([bytes(10)], formats * 2)
    sender = HarqSender([bytes(10)], formats)
    with pytest.raises(SignalError, match=r"round 4 of hybrid ARQ; allowed: 0 … 3"):
        sender.burst([0], 4)
    with pytest.raises(SignalError, match=r"segment 1 asked for; allowed: each of 0 … 0 once"):
        sender.burst([1], 0)
    with pytest.raises(SignalError, match="a segment twice asked for"):
        sender.burst([0, 0], 0)
    receiver = HarqReceiver(formats)
    reception = Channel(Conditions("awgn", 10)).apply(sender.burst([0], 0))
    reception.symbols[0] = np.nan
    with pytest.raises(SignalError, match="symbols: 1 of"):
        receiver.receive(reception, [0], 0)
