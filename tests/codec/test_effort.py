import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.effort import Effort
from panolink.errors import RateError


def test_an_encoder_does_not_try_for_long_unless_asked_to(tiny: Codec, panorama: np.ndarray, monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(Codec, "refine", lambda _, tokens, *_args, **how: asked.append(how["effort"]) or tokens)
    plain = tiny.encode(panorama, bpp=0.2).to_bytes()
    assert plain == tiny.encode(panorama, bpp=0.2, effort="fast").to_bytes() and not asked
    for effort in (Effort.MEDIUM, "slow"):
        tiny.encode(panorama, bpp=0.2, effort=effort)
    assert asked == ["medium", "slow"]


def test_an_effort_that_there_is_not_is_refused(tiny: Codec, panorama: np.ndarray):
    with pytest.raises(RateError, match="unknown effort 'slower'; allowed: fast, medium, slow"):
        tiny.encode(panorama, bpp=0.2, effort="slower")
