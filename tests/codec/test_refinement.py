"""Medium and slow encoding, with a decoder that does not undo what the encoder does."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec import refinement
from panolink.codec.codec import Codec
from panolink.codec.effort import Effort
from panolink.codec.networks.decoder import BaseDecoder
from panolink.codec.quantization.am_vq import Ranking
from panolink.codec.tokens import Tokens
from panolink.errors import ImageError, ModelError, RateError
from panolink.sphere.focus import Focus
from panolink.sphere.latitude import token_weights
from panolink.sphere.padding import SphereConv2d


@pytest.fixture
def codec(tiny: Codec) -> Codec:
    """One whose decoder makes contrasts too low, and mixes neighbours."""
    decoder = tiny.network.decoder
    assert isinstance(decoder, BaseDecoder)
    with torch.no_grad():
        decoder.transform.weight.mul_(0.8)
        last = decoder.body[-1]
        assert isinstance(last, SphereConv2d)
        torch.nn.init.normal_(last.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    return tiny


def error_of(codec: Codec, tokens: Tokens, image: np.ndarray) -> float:
    """Squared error of the decoded picture, of whole pixels, weighted as a panorama's is."""
    (decoded,) = codec.reconstruct([tokens])
    height, width, _ = image.shape
    weights = token_weights(*tokens.indices.shape, tokens.focus).repeat(16, 0).repeat(16, 1)[:height, :width]
    return float((np.square(decoded.astype(float) - image).mean(axis=2) * weights).sum())


@pytest.mark.parametrize(
    "how",
    [
        {"bpp": 0.2},
        {"bpp": 0.2, "robust": True},
        {"bpp": 0.12, "focus": [Focus(90, 0, 60)]},
        {"bpp": 0.2, "ranking": "paper"},
        {"bpp": 0.2, "step": 6},
        {"step": 9},
        {"tau": 0.3},
        {"tau": 0.3, "robust": True},
    ],
    ids=["rate", "robust", "focus", "ranking", "rate-step", "step", "tau", "tau-robust"],
)
@pytest.mark.parametrize("size", [(128, 256), (121, 250)], ids=["whole-tokens", "parts-of-tokens"])
def test_a_slow_packet_is_no_longer_and_closer(
    codec: Codec, panorama: np.ndarray, how: dict, size: tuple[int, int]
) -> None:
    image = np.ascontiguousarray(panorama[: size[0], : size[1]])
    fast, medium, slow = (codec.encode(image, effort=effort, **how) for effort in ("fast", "medium", "slow"))
    before, *after = (codec.unpack(packet) for packet in (fast, medium, slow))
    errors = [error_of(codec, tokens, image) for tokens in (before, *after)]
    assert errors[1] < errors[0] and errors[2] < 0.9 * errors[0]
    for packet, tokens in zip((medium, slow), after, strict=True):
        assert len(packet.to_bytes()) <= len(fast.to_bytes())
        assert (tokens.step, tokens.slices, tokens.focus) == (before.step, before.slices, before.focus)
        if "tau" in how:
            assert tokens.kept.sum() == before.kept.sum()


def test_a_reduced_picture_is_refined_at_the_size_that_is_coded(codec: Codec, panorama: np.ndarray) -> None:
    small = Fraction(2)
    fast, slow = (codec.encode(panorama, bpp=0.05, reduction=small, effort=effort) for effort in ("fast", "slow"))
    assert slow.header.reduction == small and len(slow.to_bytes()) <= len(fast.to_bytes())
    errors = [float(np.square(codec.decode(packet).astype(float) - panorama).mean()) for packet in (fast, slow)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("damping", [(0, 0), (40, 40)], ids=["nothing-moves", "too-far"])
def test_it_never_gets_worse(
    codec: Codec, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch, damping: tuple[float, float]
) -> None:
    monkeypatch.setitem(refinement.DAMPING, Effort.SLOW, damping)
    tokens = codec.tokens_at(panorama, 0.2)
    found = codec.refine(tokens, panorama)
    assert len(codec.pack(found).to_bytes()) <= len(codec.pack(tokens).to_bytes())
    assert error_of(codec, found, panorama) <= error_of(codec, tokens, panorama)


def test_a_decoder_that_makes_the_same_of_everything_leaves_tokens_as_they_are(
    tiny: Codec, panorama: np.ndarray
) -> None:
    with torch.no_grad():
        tiny.network.decoder.transform.weight.zero_()
    tokens = tiny.tokens_at(panorama, 0.2)
    assert tiny.refine(tokens, panorama) is tokens


@pytest.mark.parametrize("effort", Effort)
def test_it_tells_how_far_it_is_and_finds_the_same_again(codec: Codec, panorama: np.ndarray, effort: Effort) -> None:
    calls: list[tuple[int, int]] = []
    tokens, rounds = codec.tokens_at(panorama, 0.2), refinement.ROUNDS.get(effort, 0)
    found = codec.refine(tokens, panorama, effort=effort, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(done, rounds) for done in range(1, rounds + 1)]
    assert (found is tokens) == (effort is Effort.FAST)
    assert codec.pack(found).to_bytes() == codec.pack(codec.refine(tokens, panorama, effort=effort)).to_bytes()


@pytest.mark.parametrize("tau", [None, 0.3], ids=["rate", "tau"])
def test_what_came_out_too_large_is_quantised_again_for_less(
    codec: Codec, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch, tau: float | None
) -> None:
    """A round is not lost because rate control has filled a few bits too many."""
    tokens = codec.tokens_of(panorama, tau=tau, bpp=None if tau else 0.2)
    limit = sum(codec.pack(tokens).bits.values())
    counted: list[int] = []
    of_tokens = refinement._Requantization._bits_of

    def too_many_at_first(self: refinement._Requantization, found: Tokens) -> dict[str, int]:
        bits = of_tokens(self, found)
        counted.append(sum(bits.values()))
        return {**bits, "mask": bits["mask"] + limit // 10} if len(counted) == 2 else bits

    monkeypatch.setattr(refinement._Requantization, "_bits_of", too_many_at_first)
    monkeypatch.setitem(refinement.ROUNDS, Effort.SLOW, 1)
    found = codec.refine(tokens, panorama, tau=tau)
    assert len(counted) > 2 and found is not tokens
    assert sum(codec.pack(found).bits.values()) <= limit


def test_what_does_not_become_less_is_priced_higher_and_higher(
    codec: Codec, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits that do not fall, or rise, with λ say that it has to go further, not less far."""
    tokens = codec.tokens_of(panorama, tau=0.3)
    again = refinement._Requantization(tokens, codec.quantizer, Ranking("rate"), 0.3)
    before = again._lmbda
    seen = iter([again.limit + 32, again.limit + 32, again.limit + 64])
    monkeypatch.setattr(again, "_bits_of", lambda _: {"mask": next(seen)})
    (features,) = codec.extract([panorama])
    again(features)
    assert again._power == refinement.MOST_POWER
    assert before < again._lmbda <= refinement.MOST_LAMBDA


def test_without_effort_nothing_runs(codec: Codec, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = codec.tokens_of(panorama, bpp=0.2)
    monkeypatch.setattr(Codec, "extract", lambda *_: pytest.fail("the encoder ran"))
    assert codec.refine(tokens, panorama, effort="fast") is tokens
    with pytest.raises(RateError, match="unknown effort 'slower'"):
        codec.refine(tokens, panorama, effort="slower")


def test_without_a_decoder_nothing_is_refined(tiny_path, panorama: np.ndarray) -> None:
    blind = Codec.load(tiny_path, decoder=None, device="cpu")
    with pytest.raises(ModelError, match="without a decoder"):
        blind.encode(panorama, bpp=0.2, effort="slow")


@pytest.mark.parametrize("how", [{"bpp": 0.2}, {"bpp": 0.02}, {"tau": 0.3}], ids=["rate", "reduced", "tau"])
def test_the_encoder_runs_no_more_often_than_without_it(
    tiny: Codec, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch, how: dict
) -> None:
    monkeypatch.setitem(refinement.ROUNDS, Effort.SLOW, 1)
    runs: list[int] = []
    extract = Codec.extract
    monkeypatch.setattr(Codec, "extract", lambda self, images: runs.append(len(images)) or extract(self, images))
    tiny.encode(panorama, effort="fast", **how)
    fast = list(runs)
    tokens = tiny.tokens_of(panorama, effort="slow", **how)
    assert runs == 2 * fast
    monkeypatch.undo()
    monkeypatch.setitem(refinement.ROUNDS, Effort.SLOW, 1)
    alone = tiny.refine(tiny.tokens_of(panorama, **how), panorama, tau=how.get("tau"))
    assert tiny.pack(tokens).to_bytes() == tiny.pack(alone).to_bytes()


def test_derivatives_are_there_where_a_caller_does_without_them(
    tiny_path: Path, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(refinement.ROUNDS, Effort.SLOW, 1)
    with torch.inference_mode():
        codec = Codec.load(tiny_path, device="cpu")
        packet = codec.encode(panorama, bpp=0.2, effort="slow")
    assert packet.to_bytes() == codec.encode(panorama, bpp=0.2, effort="slow").to_bytes()


def test_what_does_not_belong_to_the_tokens_is_refused(tiny: Codec, panorama: np.ndarray) -> None:
    tokens = tiny.tokens_at(panorama, 0.2)
    for image in (panorama[:64, :128], panorama[:120]):  # the latter has as many tokens
        with pytest.raises(ImageError, match=r"pixels; the tokens are of 256×128"):
            tiny.refine(tokens, np.ascontiguousarray(image))
    for tau in (float("nan"), 2.0):
        with pytest.raises(RateError, match="the share of tokens kept must be from 0 to 1"):
            tiny.refine(tokens, panorama, tau=tau)
    with pytest.raises(RateError, match="unknown ranking 'best'; allowed: rate, error, paper"):
        tiny.refine(tokens, panorama, ranking="best")
