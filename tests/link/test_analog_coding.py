from contextlib import contextmanager

import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.resolution import WHOLE
from panolink.link.analog_coding import code_analog
from panolink.link.analog_features import SideInformation, differences_of, received
from panolink.link.coding import Coding
from panolink.link.segments import GAIN_CORRECTIONS
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import Choice, Fixed
from panolink.phy.modem.channel_estimation import pilot_count


class Arrived:
    """Symbols as they were sent."""

    noise_variance = 0.0

    def __init__(self, symbols: np.ndarray) -> None:
        self.symbols, self.gains = symbols, np.ones(len(symbols), np.complex64)


@pytest.fixture(scope="module")
def picture(panorama: np.ndarray) -> np.ndarray:
    """With 13824 values, which take 6912 symbols."""
    return panorama.repeat(3, 0).repeat(3, 1)


@pytest.fixture
def coding(tiny: Codec, picture: np.ndarray) -> Coding:
    return Coding(tiny, picture)


def amplitudes(coded) -> int:
    return sum(len(symbols) for symbols in coded.amplitudes)


@pytest.mark.parametrize("pilot_spacing", [0, 16])
@pytest.mark.parametrize("protection", [Fixed(), Choice(12.0)], ids=["fixed", "12 dB"])
def test_the_rest_of_a_budget_carries_values(tiny: Codec, picture: np.ndarray, protection, pilot_spacing: int) -> None:
    coding = Coding(tiny, picture, pilot_spacing=pilot_spacing)
    everything = code_analog(coding, SymbolBudget(10**6), protection, tau=1.0)
    assert everything is not None
    budget = SymbolBudget(everything.plan.symbols + 3000)
    coded = code_analog(coding, budget, protection, tau=1.0)
    assert coded is not None
    payload = sum(fmt.symbols for fmt in coded.plan.formats) + amplitudes(coded)
    assert 0.97 * budget.symbols < payload + pilot_count(payload, pilot_spacing) <= budget.symbols
    assert [len(symbols) for symbols in coded.amplitudes] == [-(-count // 2) for count in coded.values]
    assert len(coded.values) == coded.tokens.slices


def test_more_symbols_carry_more_values_of_the_same_tokens(coding: Coding) -> None:
    few, many = (code_analog(coding, SymbolBudget(symbols), Choice(12.0), tau=1.0) for symbols in (4000, 5000))
    assert few and many
    assert np.array_equal(few.tokens.indices, many.tokens.indices) and few.tokens.kept.all()
    assert amplitudes(many) - amplitudes(few) == pytest.approx(1000, abs=2 * many.tokens.slices)
    assert (
        code_analog(coding, SymbolBudget(10**6), Choice(12.0), tau=1.0).values
        == [  # type: ignore[union-attr]
            coding.codec.network.profile.dim * int(many.tokens.kept[s :: many.tokens.slices].sum())
            for s in range(many.tokens.slices)
        ]
    )


def test_what_is_coded_beside_them_says_how_to_read_them(coding: Coding) -> None:
    coded = code_analog(coding, SymbolBudget(10**6), Choice(12.0), tau=0.5)
    assert coded
    (layer, corrections) = coded.plan.slices[-1]
    assert layer == GAIN_CORRECTIONS and len(corrections) == coded.tokens.slices
    assert coded.plan.slices[:-1] == [(str(piece.layer), piece.payload or b"") for piece in coded.packet.slices]
    arrived = [Arrived(symbols) for symbols in coded.amplitudes]
    tokens = received(coding.codec, coded.packet, arrived, coded.values, corrections)
    differences = differences_of(coding.codec, coding.known[WHOLE], coded.tokens.indices)
    np.testing.assert_allclose(tokens.differences, differences[coded.tokens.kept], atol=1e-3)


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_the_share_of_the_tokens_is_that_of_the_least_error(coding: Coding, snr_db: float) -> None:
    budget, protection = SymbolBudget(12_000), Choice(snr_db)
    chosen = code_analog(coding, budget, protection)
    assert chosen
    errors = {}
    for share in (0.25, 0.5, 1.0):
        coded = code_analog(coding, budget, protection, tau=share)
        if coded:
            known = SideInformation.of(coding.codec, coded.tokens.indices, coded.tokens.kept, coded.tokens.slices)
            differences = differences_of(coding.codec, coding.known[WHOLE], coded.tokens.indices)
            errors[share] = known.expected_error(differences, coded.values, 10 ** (-snr_db / 10))
    assert chosen.tokens.kept.mean() == pytest.approx(min(errors, key=lambda share: errors[share]), abs=0.01)


def test_without_room_for_a_value_there_is_nothing(coding: Coding) -> None:
    assert code_analog(coding, SymbolBudget(100), Choice(12.0)) is None
    base = code_analog(coding, SymbolBudget(10**6), Choice(12.0), tau=0.5)
    assert base
    alone = SymbolBudget(sum(fmt.symbols for fmt in base.plan.formats))
    assert code_analog(coding, alone, Choice(12.0), tau=0.5) is None


def test_the_picture_is_encoded_and_quantised_in_stages_of_their_own(tiny: Codec, picture: np.ndarray) -> None:
    seen = []

    @contextmanager
    def stage(name: str):
        seen.append(name)
        yield

    code_analog(Coding(tiny, picture, stage=stage), SymbolBudget(9000), Fixed())
    assert seen.count("encode") == 1 and {"quantize", "entropy_code"} < set(seen)


def test_a_budget_without_room_is_seen_before_anything_is_left_out(
    coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("slices are left out of a plan that is then not used")

    monkeypatch.setattr("panolink.link.rate_allocation.thinned", never)
    assert code_analog(coding, SymbolBudget(100), Choice(12.0)) is None
