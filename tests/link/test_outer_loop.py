from itertools import pairwise

import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.link.outer_loop import Controller, Feedback
from panolink.link.rate_allocation import BASE_LAYER_MARGIN_SHARE, fill
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import Choice, required_snr_db
from panolink.phy import Channel, Conditions, demodulate, modulate
from panolink.phy.bler_curves import bler_curve
from tests.link.test_rate_allocation import PIXELS, slices_at


def send(choice: Choice, snr_db: float, rng: np.random.Generator, *, hidden_db: float = 0.0) -> Feedback:
    """What a receipt would say: losses by the measured curves, at an SNR that may be worse than it is reported."""
    segments = {}
    for layer, count in (("header", 1), ("mask", 1), ("indices", 6), ("features", 40)):
        runs = choice.schemes()[layer]
        rates = [bler_curve(runs[i * len(runs) // count]).bler(snr_db - hidden_db) for i in range(count)]
        segments[layer] = (count, int((rng.random(count) < rates).sum()))
    return Feedback(snr_db, segments)


def run(snrs, *, jitter_db=0.0, hidden_db=0.0, seed=0):
    rng = np.random.default_rng(seed)
    controller, choices, receipts = Controller(snr_db=snrs[0]), [], []
    for snr in snrs:
        choices.append(controller.choice())
        receipts.append(send(choices[-1], snr, rng, hidden_db=hidden_db))
        measured = snr + jitter_db * rng.uniform(-1, 1)
        controller.learn(Feedback(measured, receipts[-1].segments))
    return choices, receipts


@pytest.mark.parametrize("snr_db", np.arange(-4, 24, 1.7))
def test_no_oscillation_on_a_flat_channel(snr_db):
    """±0.4 dB of measurement noise: the choice comes down to the lowest that was measured, and never goes back up."""
    choices, _ = run([float(snr_db)] * 200, jitter_db=0.4)
    changes = [a.schemes() != b.schemes() for a, b in pairwise(choices[20:])]
    assert sum(changes) <= 1


def test_a_channel_worse_than_it_looks_is_learnt():
    """3 dB that the reported mean does not tell of: losses end, and tries to do without the margin get rare."""
    choices, receipts = run([12.0] * 400, hidden_db=3.0)
    lossy = [sum(lost for _, lost in receipt.segments.values()) > 4 for receipt in receipts]
    assert any(lossy[:5])
    assert sum(lossy[20:200]) <= 8 and sum(lossy[200:]) <= 3
    changes = [a.schemes() != b.schemes() for a, b in pairwise(choices)]
    assert sum(changes[200:]) <= 8


def test_a_fade_is_followed_at_once_and_left_when_it_ends():
    choices, receipts = run([20.0] * 10 + [4.0] * 10 + [20.0] * 30)
    assert sum(lost for _, lost in receipts[10].segments.values()) > 20  # the panorama that the fade surprises
    for receipt in receipts[11:20]:
        assert not any(lost for layer, (_, lost) in receipt.segments.items() if layer != "features")
    assert choices[11].snr_db <= 4.0  # one panorama later
    assert choices[21].snr_db <= 4.0  # one good receipt may be luck
    assert choices[22].snr_db >= 20.0 - 2 * Controller.GROWTH_DB  # and back with the second
    assert choices[-1].schemes()["features"] == choices[9].schemes()["features"]


def test_indices_are_insured_against_a_fade_like_the_last_one():
    """20 dB and 4 dB in turn, as suddenly as can be: the first fade takes indices, no later one does."""
    choices, receipts = run([20.0] * 10 + ([4.0] * 10 + [20.0] * 10) * 3)
    lost = [i for i, receipt in enumerate(receipts) if receipt.segments["indices"][1]]
    assert lost == [10]
    budget = SymbolBudget.per_pixel(0.1, pixels=PIXELS)
    plan = fill(slices_at, budget, choices[28], pixels=PIXELS)
    schemes = {layer: fmt.scheme for (layer, _), fmt in zip(plan.slices, plan.formats, strict=True)}
    assert required_snr_db(schemes["indices"]) <= 4.0 < 15.0 < required_snr_db(schemes["features"])
    assert max(choice.margin_db for choice in choices) == 0  # it was no matter of the margin
    base = sum(fmt.symbols for (layer, _), fmt in zip(plan.slices, plan.formats, strict=True) if layer != "features")
    assert base <= (BASE_LAYER_MARGIN_SHARE + 0.03) * budget.symbols  # and of the mask


def test_the_base_layers_extra_margin_is_given_up_before_features_have_no_room():
    budget = SymbolBudget.per_pixel(0.05, pixels=PIXELS)
    plan = fill(slices_at, budget, Choice(20.0, base_layer_margin_db=20.0), pixels=PIXELS)
    assert any(layer == "features" for layer, _ in plan.slices) and plan.symbols <= budget.symbols
    bare = fill(slices_at, SymbolBudget(4000), Choice(20.0, base_layer_margin_db=20.0), pixels=PIXELS)
    assert bare.formats == fill(slices_at, SymbolBudget(4000), Choice(20.0), pixels=PIXELS).formats


def test_a_fade_may_be_expected_before_it_was_seen():
    """And nobody pays for indices where headers do not arrive."""
    controller = Controller(snr_db=20.0, fall_db=18.0)
    assert (
        controller.choice().base_layer_margin_db == 15.0
    )  # beyond the 4 dB that indices stand anyway, and one in reserve
    for snr_db in (8.0, 2.0, -6.0):
        choice = controller.learn(Feedback(snr_db, {"indices": (6, 0)}))
        assert choice.snr_db == snr_db and snr_db - 4.0 - choice.base_layer_margin_db == min(snr_db - 4.0, -3.0)


def test_a_fade_is_forgotten():
    choices, _ = run([20.0] * 4 + [4.0] * 4 + [20.0] * 600)
    assert choices[12].base_layer_margin_db > 10 and choices[-1].base_layer_margin_db == 0
    assert choices[-1].schemes() == choices[3].schemes()


def test_without_a_reported_snr_losses_are_enough():
    controller = Controller(snr_db=15.0)
    for _ in range(4):
        controller.learn(Feedback(None, {"indices": (6, 3)}))
    assert controller.choice().snr_db <= 15 - 3 * Controller.GROWTH_DB
    for name in ("hysteresis_db", "fall_db"):
        with pytest.raises(SignalError, match=f"{name} is -1"):
            Controller(**{name: -1.0})


def test_over_the_air_a_fade_costs_detail_but_no_picture():
    """Real segments: 18 dB, a fade of 13 dB over two panoramas, 18 dB again. Only the first can lose indices."""
    controller, rng = Controller(snr_db=18.0), np.random.default_rng(5)
    budget, lost_base, rates = SymbolBudget.per_pixel(0.1, pixels=PIXELS), [], []
    for number, snr_db in enumerate([18.0, 5.0, 5.0, 5.0, 18.0, 18.0, 18.0, 18.0]):
        plan = fill(slices_at, budget, controller.choice(), pixels=PIXELS)
        payloads = [rng.bytes(len(payload)) for _, payload in plan.slices]
        channel = Channel(Conditions("awgn", snr_db, seed=number))
        received = demodulate(**vars(channel.apply(modulate(payloads, plan.formats))), formats=plan.formats)
        counts: dict[str, tuple[int, int]] = {}
        for (layer, _), payload in zip(plan.slices, received, strict=True):
            sent, lost = counts.get(layer, (0, 0))
            counts[layer] = sent + 1, lost + (payload is None)
        lost_base.append(sum(counts[layer][1] for layer in ("header", "mask", "indices") if layer in counts))
        rates.append(plan.bpp)
        controller.learn(Feedback(snr_db, counts))
    assert lost_base[0] == 0 and lost_base[2:] == [0] * 6
    assert rates[2] < 0.7 * rates[0] and rates[6] > 0.8 * rates[0]


def test_measured_snrs_that_scatter_are_averaged():
    """0.4 dB of standard deviation, as of bursts that meet a hundred fades: the choice comes to rest all the same."""
    rng = np.random.default_rng(3)
    controller, schemes = Controller(), []
    for _ in range(400):
        controller.learn(Feedback(12.0 + 0.4 * rng.standard_normal(), {"indices": (6, 0)}, 1 + 0.2 * rng.normal()))
        schemes.append(controller.choice().schemes())
    assert sum(a != b for a, b in pairwise(schemes[20:])) <= 4


def test_losses_of_several_panoramas_under_way_enlarge_the_margin_once():
    controller = Controller(snr_db=20.0)
    first = controller.choice()
    for _ in range(4):
        controller.learn(Feedback(20.0, {"indices": (6, 6), "features": (40, 40)}), first)
    assert controller.margin_db == Controller.GROWTH_DB
    assert controller.choice().snr_db == pytest.approx(20.0 - Controller.GROWTH_DB)


def test_the_amount_of_fading_is_learnt_in_steps():
    controller = Controller(snr_db=10.0)
    for _ in range(8):
        controller.learn(Feedback(10.0, {"indices": (6, 0)}, fading=0.95))
    assert controller.choice().fading == 1.0
    controller.learn(Feedback(10.0, {"indices": (6, 0)}, fading=0.7))
    assert controller.choice().fading == 1.0
    controller.learn(Feedback(10.0, {"indices": (6, 0)}))  # not known
    assert controller.choice().fading == 1.0


def test_what_was_learnt_of_a_bad_channel_is_forgotten_with_time():
    now = 0.0
    controller = Controller(snr_db=0.0, memory_seconds=30.0, clock=lambda: now)
    controller.learn(Feedback(25.0, {"indices": (6, 0)}))
    for _ in range(3):
        faded = controller.learn(Feedback(-8.0, {"indices": (6, 6)}))
    assert faded.snr_db < -8.0 and faded.margin_db > 0
    now = 29.9
    assert controller.choice() == faded
    now = 30.0
    choice = controller.choice()
    assert (choice.snr_db, choice.margin_db) == (0.0, 0.0)
    assert controller.learn(Feedback(25.0, {"indices": (6, 0)})).snr_db == 25.0  # without a second receipt
    now = 1e6
    assert controller.choice().snr_db == 25.0  # a good channel stays what it was: the next receipt tells otherwise
    with pytest.raises(SignalError, match="memory_seconds is 0"):
        Controller(memory_seconds=0.0)


def test_losses_of_a_probe_say_nothing_of_the_margin():
    controller = Controller(snr_db=-8.0)
    probe = controller.choice().less_safe()[-1]
    assert probe.snr_db + probe.margin_db == -8.0 and probe.snr_db >= 40.0
    choice = controller.learn(Feedback(-8.0, {"header": (1, 1), "indices": (6, 6)}), probe)
    assert controller.margin_db == 0 and choice.snr_db == -8.0 and choice.base_layer_margin_db == 0


@pytest.mark.parametrize("snr_db", [-1e308, 1e308])
def test_an_snr_that_nobody_measures_is_bounded(snr_db):
    controller = Controller()
    controller.learn(Feedback(snr_db, {"indices": (6, 0)}))
    assert abs(controller.choice().snr_db) <= 80.0
    for _ in range(3):
        controller.learn(Feedback(20.0, {"indices": (6, 0)}))
    assert controller.choice().snr_db == pytest.approx(20.0, abs=1.0)


def test_without_a_reported_snr_the_margin_is_given_back():
    controller = Controller(snr_db=10.0)
    for _ in range(100):
        controller.learn(Feedback(None, {"indices": (6, 1)}))
    assert (controller.choice().snr_db, controller.margin_db) == (10.0 - Controller.MOST_DB, Controller.MOST_DB)
    for _ in range(1000):
        controller.learn(Feedback(None, {"indices": (6, 0)}))
    assert (controller.choice().snr_db, controller.margin_db) == (10.0, 0.0)


def test_panoramas_that_were_erased_whole_teach_nothing():
    controller = Controller(snr_db=20.0)
    for _ in range(8):
        controller.learn(Feedback(20.0, {"indices": (6, 1), "features": (50, 0)}))
    before = controller.choice()
    assert before.margin_db == Controller.MOST_DB
    for _ in range(110):
        controller.learn(Feedback(None, {"header": (0, 0), "indices": (0, 0), "features": (0, 0)}))
    assert controller.choice() == before
