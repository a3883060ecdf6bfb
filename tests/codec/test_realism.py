from pathlib import Path

import pytest

from panolink.codec.realism import Decoder, checked_realism, decoder_of, is_file, realism_of
from panolink.errors import ModelError


@pytest.mark.parametrize(
    ("decoder", "realism", "found"),
    [
        ("", None, None),
        ("", 0.3, 0.3),
        ("fidelity", None, 0),
        ("fidelity", 0, 0),
        (Decoder.PERCEPTUAL, None, 1),
        ("perceptual", 1, 1),
        ("some.safetensors", None, None),
        (Path("some.safetensors"), 0.3, 0.3),
    ],
)
def test_a_name_and_a_number_say_one_thing(decoder: str | Path, realism: float | None, found: float | None):
    assert realism_of(decoder, realism) == found


@pytest.mark.parametrize(("decoder", "realism"), [("fidelity", 1), ("fidelity", 0.001), ("perceptual", 0)])
def test_names_that_contradict_the_number(decoder: str, realism: float):
    with pytest.raises(ModelError, match=rf"decoder {decoder} is realism [01], not {realism}: give one of the two"):
        realism_of(decoder, realism)


@pytest.mark.parametrize("realism", [-0.001, 1.001, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_realism(realism: float):
    for call in (lambda: checked_realism(realism), lambda: realism_of("a file", realism)):
        with pytest.raises(ModelError, match=r"allowed is a number from 0 \(fidelity\) to 1 \(perceptual\)"):
            call()


def test_only_the_ends_of_the_scale_have_names():
    assert [decoder_of(realism) for realism in (0, 1.0, 0.5, None)] == ["fidelity", "perceptual", "", ""]


def test_what_is_no_name_is_a_file():
    assert not any(is_file(decoder) for decoder in ("", "fidelity", Decoder.PERCEPTUAL))
    assert is_file("x") and is_file(Path("x"))
