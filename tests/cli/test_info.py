from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.helpers import objects

Run = Callable[..., Result]


def test_info_tells_of_packets_and_models(panolink: Run, small: Path, tmp_path: Path):
    panolink("encode", small, tmp_path / "a.plk", "--tau", "0.1")
    result = panolink("info", tmp_path / "a.plk", "base", "--json")
    assert result.exit_code == 0, result.output
    packet, model = objects(result.stdout)
    assert (packet["kind"], packet["width"], packet["height"]) == ("packet", 256, 128)
    assert packet["fingerprint"] == model["fingerprint"]
    assert model["kind"] == "model" and model["parameters"] > 0
    assert "fingerprint" in panolink("info", "base").stdout


def test_info_goes_on_after_a_bad_one(panolink: Run, tmp_path: Path):
    (tmp_path / "bad.plk").write_bytes(b"PLKnonsense")
    result = panolink("info", tmp_path / "bad.plk", "nope", "base", "--json")
    assert result.exit_code == 1
    assert [found["model"] for found in objects(result.stdout)] == ["base"]
    first, second = result.stderr.splitlines()
    assert "bad.plk" in first and "unknown model 'nope'" in second


@pytest.mark.long
def test_info_tells_of_services(panolink: Run, link: dict[str, Any]):
    places = [link[name]["listen"] for name in ("transmitter", "channel", "receiver")]
    found = objects(panolink("info", *places, "--json").stdout)
    assert [one["service"] for one in found] == ["transmitter", "channel", "receiver"]
    assert found[0]["target"] == places[1]
    assert found[0]["models"] == found[2]["models"]
