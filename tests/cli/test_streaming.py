"""Options of streams."""

from typing import Any

import pytest
import typer

from panolink.cli.streaming import DEFAULT_FPS, Streaming, bits_per_second, parse_foci
from panolink.sphere.focus import Focus


@pytest.mark.parametrize(
    ("text", "bits"),
    [("2M", 2e6), ("500k", 5e5), ("1.5Mbit/s", 1.5e6), ("1e5", 1e5), (" 64 kbps ", 64e3), ("10G", 1e10)],
)
def test_bit_rates(text: str, bits: float):
    assert bits_per_second(text) == bits


@pytest.mark.parametrize("text", ["", "0", "-1", "2 MB", "nan", "inf", "11G", "M", "1e400", "2M/s"])
def test_what_is_no_bit_rate(text: str):
    with pytest.raises(typer.BadParameter, match="is no bit rate above 0 up to 10G, such as 2M or 500k"):
        bits_per_second(text)


def test_foci():
    assert parse_foci([]) == ((), False)
    assert parse_foci(["90,-10", "auto", "0,0,60"]) == ((Focus(90, -10), Focus(0, 0, 60)), True)


@pytest.mark.parametrize(
    "texts", [["90"], ["a,b"], ["0,91"], ["nan,0"], ["0,0,0"], [f"{k},0" for k in range(0, 250, 50)]]
)
def test_what_is_no_focus(texts: list[str]):
    with pytest.raises(typer.BadParameter):
        parse_foci(texts)


@pytest.mark.parametrize(
    ("given", "predicted", "live", "fps"),
    [
        ({}, False, False, None),
        ({"fps": 5.0}, False, False, 5.0),
        ({"stream": True}, True, False, None),
        ({"stream": True, "live": True, "fps": 4.0}, True, True, 4.0),
        ({"bitrate": 1e6}, True, True, DEFAULT_FPS),
        ({"bitrate": 1e6, "live": False, "fps": 25.0}, True, False, 25.0),
        ({"bitrate": 1e6, "live": False}, True, False, None),
    ],
)
def test_what_a_bit_rate_means(given: dict[str, Any], predicted: bool, live: bool, fps: float | None):
    unset: dict[str, Any] = {"stream": False, "bitrate": None, "fps": None, "live": None, "focus": ()}
    streaming = Streaming.of(**{**unset, **given})
    assert (streaming.predicted, streaming.live, streaming.fps) == (predicted, live, fps)
    assert bool(streaming.options.get("stream")) == predicted
    assert streaming.options.get("frame_rate", 0.0) == (fps or 0.0 if predicted and live else 0.0)
    bits = streaming.options.get("mean_bits")
    assert bits == (given["bitrate"] / (fps or DEFAULT_FPS) if "bitrate" in given else None)


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({"source_fps": 2.0}, 2.0),
        ({"source_fps": 30.0}, DEFAULT_FPS),
        ({"source_fps": 30.0, "live": False}, 30.0),
        ({"source_fps": 30.0, "fps": 20.0, "every": 4}, 5.0),
    ],
)
def test_bits_a_picture_follow_from_the_pictures_that_there_are(given: dict[str, Any], rate: float):
    unset: dict[str, Any] = {"stream": False, "bitrate": 1e6, "fps": None, "live": None, "focus": ()}
    assert Streaming.of(**{**unset, **given}).options["mean_bits"] == 1e6 / rate


def test_gazes_are_for_streams():
    with pytest.raises(typer.BadParameter, match="auto is for streams"):
        Streaming.of(stream=False, bitrate=None, fps=None, live=None, focus=["auto"])
    assert Streaming.of(stream=True, bitrate=None, fps=None, live=None, focus=["auto"]).options["follow_gaze"]
