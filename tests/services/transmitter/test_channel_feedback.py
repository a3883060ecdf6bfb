"""Adaptive panoramas through real services, with a tiny model: budgets, fades, and what receipts teach."""

import re
from collections.abc import Awaitable, Callable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.client import Client
from panolink.codec.resolution import WHOLE
from panolink.errors import RateError, SignalError
from panolink.link.unequal_protection import Fixed
from panolink.rpc.server.server import Server
from panolink.rpc.wire.deliveries import Delivery
from panolink.services.transmitter.channel_feedback import ChannelFeedback
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.v1 import link_pb2, transmitter_pb2

pytestmark = pytest.mark.slow

Start = Callable[..., Awaitable[Server]]
PIXELS = 512 * 256


@pytest.fixture(scope="module")
def panorama(samples: list[Path]) -> np.ndarray:
    """A photograph with several slices of indices: uint8 (256, 512, 3)."""
    with Image.open(samples[0]) as image:
        return np.array(image.convert("RGB").resize((512, 256), Image.Resampling.LANCZOS))


def sample(server: Server, name: str, **labels: str) -> float:
    return server.metrics.registry.get_sample_value(f"panolink_{name}", labels) or 0.0


@pytest.fixture
async def link(start: Start) -> tuple[Server, Server, Server]:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="awgn", snr_db=20, seed=1)
    return await start("transmitter", target=channel.address), channel, receiver


async def sent(target: str, panorama: np.ndarray, count: int = 1, **options: Any) -> list[Delivery]:
    """One after the other: each is sent when the receipt of the one before has come."""
    async with Client(target, in_flight=1) as client:
        return [delivery async for delivery in client.send([panorama] * count, picture=False, **options)]


async def test_a_fade_is_followed_down_and_up_and_costs_no_panorama(
    link: tuple[Server, Server, Server], panorama: np.ndarray
) -> None:
    transmitter, channel, _ = link
    got: dict[float, list[Delivery]] = {}
    async with Client(channel.address) as control:
        for turn, snr_db in enumerate((20.0, 2.0, 20.5)):
            await control.set_conditions(snr_db=snr_db)
            got[snr_db] = await sent(transmitter.address, panorama, 6, adaptive=True, symbols_per_pixel=0.05)
            assert sample(transmitter, "adaptation_snr_db") <= snr_db, turn
    for delivery in chain(*got.values()):
        assert delivery.delivered, delivery
        assert delivery.segments.lost_by_layer["indices"] == 0
        assert delivery.symbols <= (delivery.symbol_budget or 0) == int(0.05 * PIXELS)
        assert delivery.symbols_per_pixel <= 0.05
    before, during, after = (deliveries[-1] for deliveries in got.values())
    # Which tokens pay with random weights depends on the processor's rounding: about half of them are kept.
    assert during.kept < 0.6 * before.kept and after.kept > 0.8 * before.kept
    assert before.schemes["features"] == after.schemes["features"] != during.schemes["features"]
    assert before.adapted and after.adapted
    assert sample(transmitter, "adaptation_base_layer_margin_db") > 10  # a fade is expected from the start, and again
    assert during.segments.lost == 0
    assert during.adapted and during.adapted.snr_db < 2.5
    assert sample(transmitter, "tau_ratio") == pytest.approx(after.tau)
    assert sample(transmitter, "resolution_ratio") == pytest.approx(after.tokens * 16 * 16 / PIXELS, rel=0.05)
    counted = sample(transmitter, "scheme_segments_total", layer="indices", scheme=after.schemes["indices"][0])
    assert counted >= 2
    assert sample(transmitter, "adaptation_margin_db") == pytest.approx(after.adapted.margin_db, abs=2)


@pytest.mark.parametrize(("model", "snr_db"), [("awgn", 9.0), ("rayleigh", 14.0), ("rician", 5.0)])
async def test_on_a_flat_channel_the_choice_comes_to_rest(
    start: Start, panorama: np.ndarray, model: str, snr_db: float
) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model=model, snr_db=snr_db, coherence_symbols=16, seed=3)
    transmitter = await start("transmitter", target=channel.address)
    async with Client(transmitter.address) as client:  # four under way at once
        got = [one async for one in client.send([panorama] * 40, picture=False, adaptive=True, symbols_per_pixel=0.05)]
    assert all(delivery.delivered for delivery in got)
    schemes = [delivery.schemes for delivery in sorted(got, key=lambda delivery: int(delivery.id))]
    assert schemes[-1] != schemes[0]  # and not by staying with the safe one
    assert sum(one != other for one, other in pairwise(schemes[20:])) <= 3


async def test_pilots_are_part_of_the_budget(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=15, coherence_symbols=64, seed=1)
    transmitter = await start("transmitter", target=channel.address, pilot_spacing=8)
    for delivery in await sent(transmitter.address, panorama, 4, adaptive=True, symbols_per_pixel=0.05):
        assert delivery.delivered
        assert 0.93 * 0.05 <= delivery.symbols_per_pixel <= 0.05
    assert delivery.measured_snr_db == pytest.approx(14.5, abs=2.5)


async def test_a_budget_without_adaptation_has_the_usual_protection(
    link: tuple[Server, Server, Server], panorama: np.ndarray
) -> None:
    (delivery,) = await sent(link[0].address, panorama, symbols_per_pixel=0.05)
    assert delivery.delivered and delivery.adapted is None
    assert 0.93 * 0.05 <= delivery.symbols_per_pixel <= 0.05
    usual = {layer: tuple(map(str, schemes)) for layer, schemes in Fixed().schemes().items()}
    assert all(set(schemes) <= set(usual[layer]) for layer, schemes in delivery.schemes.items())


async def test_a_deadline_is_a_budget(link: tuple[Server, Server, Server], panorama: np.ndarray) -> None:
    target = link[0].address
    (delivery,) = await sent(target, panorama, adaptive=True, deadline=0.009)  # at 10⁶ symbols per second
    assert delivery.delivered and delivery.symbol_budget == 9000 and delivery.symbols <= 9000
    (delivery,) = await sent(target, panorama, symbols_per_pixel=0.05, deadline=0.004)
    assert delivery.symbol_budget == 4000  # the less of both
    (delivery,) = await sent(target, panorama, adaptive=True)
    assert delivery.symbol_budget == int(0.1 * PIXELS)  # the transmitter's own
    (delivery,) = await sent(target, panorama, tau=1.0, deadline=0.003)
    assert delivery.code == "INVALID_ARGUMENT"
    assert re.search(r"at this tau the panorama takes \d+ symbols, and its deadline leaves 3000", delivery.error or "")
    (delivery,) = await sent(target, panorama, tau=0.1, deadline=1.0)
    assert delivery.delivered and delivery.symbol_budget == 10**6


async def test_what_does_not_fit_is_left_out_and_said(
    link: tuple[Server, Server, Server], panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    transmitter, _, receiver = link
    # A panorama of reduced size would fit whole.
    monkeypatch.setattr("panolink.link.rate_allocation.candidates", lambda *_: [WHOLE])
    (whole,) = await sent(transmitter.address, panorama, tau=0.0)
    (delivery,) = await sent(transmitter.address, panorama, symbols_per_pixel=0.8 * whole.symbols_per_pixel)
    assert delivery.delivered and delivery.concealed
    segments = delivery.segments
    assert segments.lost == 0 and segments.unsent == whole.segments.sent - segments.sent > 0
    assert sample(receiver, "segments_unsent_total", layer="indices") == segments.unsent
    assert sample(receiver, "segments_lost_total", layer="indices") == 0


async def test_a_budget_that_is_too_small_is_told_the_least(
    link: tuple[Server, Server, Server], panorama: np.ndarray
) -> None:
    transmitter, _, _ = link
    (refused,) = await sent(transmitter.address, panorama, symbols_per_pixel=0.005)
    assert refused.code == "INVALID_ARGUMENT" and refused.error and "\n" not in refused.error
    assert "budget of 655 symbols" in refused.error
    least = float(re.search(r"the least is \d+, (0\.\d+) per pixel", refused.error)[1])  # type: ignore[index]
    (delivery,) = await sent(transmitter.address, panorama, symbols_per_pixel=least)
    assert delivery.delivered
    (refused,) = await sent(transmitter.address, panorama, symbols_per_pixel=least - 2e-5)
    assert not refused.delivered


async def test_rounds_have_what_a_picture_leaves_of_a_budget(
    link: tuple[Server, Server, Server], panorama: np.ndarray
) -> None:
    """What is held back for later rounds is no reason to refuse a panorama."""
    target = link[0].address
    (refused,) = await sent(target, panorama, symbols_per_pixel=0.005, harq=2)
    least = float(re.search(r"the least is \d+, (0\.\d+) per pixel", refused.error or "")[1])  # type: ignore[index]
    (delivery,) = await sent(target, panorama, symbols_per_pixel=least, harq=2)
    assert delivery.delivered and delivery.symbols_per_pixel <= least


@pytest.mark.parametrize(
    ("size", "options"), [((128, 64), {}), ((512, 256), {"deadline": 0.001})], ids=["128x64", "deadline of 1 ms"]
)
async def test_a_tight_budget_outlives_a_fade(
    start: Start, panorama: np.ndarray, size: tuple[int, int], options: dict[str, Any]
) -> None:
    """Nothing fits at the SNR of the fade: what is sent all the same brings the receipts that tell of its end."""
    panorama = np.array(Image.fromarray(panorama).resize(size))
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="awgn", snr_db=25, seed=1)
    transmitter = await start("transmitter", target=channel.address, initial_snr_db=-5)
    cold = await sent(transmitter.address, panorama, 3, adaptive=True, **options)
    assert all(delivery.delivered for delivery in cold), cold[0]
    async with Client(channel.address) as control:
        await control.set_conditions(snr_db=-8.0)
        faded = await sent(transmitter.address, panorama, 3, adaptive=True, **options)
        assert {delivery.code for delivery in faded} == {"DATA_LOSS"}  # sent, and lost: not refused
        await control.set_conditions(snr_db=25.0)
        after = await sent(transmitter.address, panorama, 12, adaptive=True, **options)
    assert [delivery.delivered for delivery in after] == [True] * 12
    assert all(delivery.symbols <= (delivery.symbol_budget or 0) for delivery in (*cold, *faded, *after))
    probe = after[0].adapted
    assert probe and probe.snr_db > -8.0 and probe.margin_db < 0
    assert after[-1].adapted and after[-1].adapted.snr_db > 0 > probe.snr_db + probe.margin_db


async def test_a_budget_that_no_scheme_fits_is_refused(
    link: tuple[Server, Server, Server], panorama: np.ndarray
) -> None:
    (refused,) = await sent(link[0].address, panorama, adaptive=True, symbols_per_pixel=0.0002)
    assert refused.code == "INVALID_ARGUMENT" and "the least is" in (refused.error or "")


async def test_erased_packets_cost_no_margin(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    air = {"model": "awgn", "snr_db": 15, "erasure_rate": 0.2, "seed": 2}
    channel = await start("channel", target=receiver.address, **air)
    transmitter = await start("transmitter", target=channel.address)
    got = await sent(transmitter.address, panorama, 12, adaptive=True, symbols_per_pixel=0.05)
    assert sum(delivery.segments.lost for delivery in got)
    assert sample(transmitter, "adaptation_margin_db") == 0


async def test_without_a_channel_nothing_is_held_back(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    *_, last = await sent(transmitter.address, panorama, 3, adaptive=True, symbols_per_pixel=0.3)
    assert last.delivered and last.snr_db is None and last.measured_snr_db == pytest.approx(60)
    assert last.schemes["indices"] == ("64qam 5/6",)


async def test_on_a_one_way_link_the_choice_stays_safe(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="awgn", snr_db=20, seed=1, one_way=True)
    transmitter = await start("transmitter", target=channel.address)
    got = await sent(transmitter.address, panorama, 4, adaptive=True, symbols_per_pixel=0.05)
    assert all(delivery.delivered and delivery.schemes == got[0].schemes for delivery in got)
    assert got[0].schemes["features"][0].startswith("qpsk") and got[-1].measured_snr_db == pytest.approx(20, abs=0.1)
    assert sample(transmitter, "adaptation_snr_db") == 0.0


# ── what a transmitter decides ───────────────────────────────────────────────────────────────────────────────────────


def header(**fields: Any) -> transmitter_pb2.PanoramaHeader:
    return transmitter_pb2.PanoramaHeader(panorama_id="1", **fields)


@pytest.fixture
def feedback() -> ChannelFeedback:
    return ChannelFeedback(TransmitterSettings(metrics_listen="off"), TransmitterMetrics())


def test_without_receipts_the_choice_stays_where_it_began(feedback: ChannelFeedback) -> None:
    safe = feedback.choice()
    assert (safe.snr_db, safe.margin_db) == (0.0, 0.0)
    feedback.learn(link_pb2.ReceiptHeader(failure=link_pb2.Failure(code=14, message="gone")), safe)
    assert feedback.choice() == safe


def test_a_panorama_whose_header_was_lost_teaches_too(feedback: ChannelFeedback) -> None:
    lost = link_pb2.LayerSegments(layer=link_pb2.LAYER_HEADER, sent=1, lost=1)
    failure = link_pb2.Failure(code=15, message="its header segment was lost")
    receipt = link_pb2.ReceiptHeader(failure=failure, segments=[lost], measured_snr_db=-4.0, fading=1.0)
    feedback.learn(receipt, feedback.choice())
    assert feedback.choice().snr_db == -5.5 and feedback.choice().fading == 1.0


@pytest.mark.parametrize("snr_db", [-45.0, -1e308])
def test_a_fade_under_everything_that_can_be_measured_teaches_too(feedback: ChannelFeedback, snr_db: float) -> None:
    lost = [link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6, lost=6)]
    feedback.learn(link_pb2.ReceiptHeader(segments=lost, measured_snr_db=snr_db, fading=1.0), feedback.choice())
    assert feedback.choice().snr_db == -40


def test_what_a_later_round_made_good_was_lost_all_the_same(feedback: ChannelFeedback) -> None:
    made_good = link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6, recovered=2)
    feedback.learn(link_pb2.ReceiptHeader(segments=[made_good], measured_snr_db=10.0), feedback.choice())
    assert feedback.choice().margin_db == 1.5


def test_no_choice_saves_packets_that_were_erased(feedback: ChannelFeedback) -> None:
    erased = link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6, lost=3, recovered=1, erased=4)
    feedback.learn(link_pb2.ReceiptHeader(segments=[erased], measured_snr_db=15.0), feedback.choice())
    assert feedback.choice().margin_db == 0 and feedback.choice().snr_db == 15.0


@pytest.mark.parametrize(
    "lie",
    [
        {"measured_snr_db": float("-inf")},
        {"measured_snr_db": 1e308},
        {"measured_snr_db": float("nan")},
        {"measured_snr_db": 10.0, "fading": -1.0},
        {"measured_snr_db": 10.0, "fading": float("inf")},
        {"segments": [link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6, lost=7)]},
        {"segments": [link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6, lost=1, erased=4_000_000_000)]},
        {"measured_snr_db": -4.0, "failure": link_pb2.Failure(code=0, message="no code")},
    ],
)
def test_receipts_that_cannot_be_true_teach_nothing(feedback: ChannelFeedback, lie: dict[str, Any]) -> None:
    before = feedback.choice()
    usual = {"segments": [link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6)]}
    fields: Any = usual | lie
    feedback.learn(link_pb2.ReceiptHeader(**fields), before)
    assert feedback.choice() == before


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"adaptive": True, "bpp": 0.1}, RateError, "adaptive together with bpp; allowed: symbols_per_pixel"),
        ({"symbols_per_pixel": 0.0}, SignalError, "symbols per pixel is 0.0; allowed: above 0"),
        ({"symbols_per_pixel": float("nan")}, SignalError, "allowed: above 0"),
        ({"symbols_per_pixel": 1e-9}, SignalError, "budget of 0 symbols; allowed: 1 and above"),
        ({"deadline_seconds": -1.0}, SignalError, "deadline is -1.0 s; allowed: above 0"),
        ({"deadline_seconds": float("inf"), "adaptive": True}, SignalError, "allowed: above 0"),
    ],
)
def test_budgets_that_make_no_sense(feedback: ChannelFeedback, fields: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=re.escape(said)):
        feedback.budget(header(**fields), pixels=PIXELS)
