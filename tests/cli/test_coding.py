import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from panolink.codec.bitstream import Packet
from panolink.images import load_panorama
from panolink.metrics.viewport import vpsnr
from tests.cli.helpers import objects, one_line

Run = Callable[..., Result]


def test_encode_and_decode(panolink: Run, small: Path, tmp_path: Path):
    packet, picture = tmp_path / "a.plk", tmp_path / "a.png"
    result = panolink("encode", small, packet, "--bpp", "0.5", "--json")
    assert result.exit_code == 0, result.output
    (told,) = objects(result.stdout)
    keys = ["model", "fingerprint", "width", "height", "bpp", "bits", "tokens", "kept", "seconds"]
    assert list(told) == keys
    assert set(told["bits"]) == {"header", "indices", "mask", "features"}
    assert (told["model"], told["width"], told["height"], told["tokens"]) == ("base", 256, 128, 16 * 8)
    assert told["bpp"] <= 0.5
    assert sum(told["bits"].values()) == 8 * packet.stat().st_size

    result = panolink("decode", packet, picture, "--json")
    assert result.exit_code == 0, result.output
    (decoded,) = objects(result.stdout)
    assert decoded["fingerprint"] == told["fingerprint"]
    assert vpsnr(load_panorama(small), load_panorama(picture)) > 20


def test_tau_and_the_text_for_people(panolink: Run, small: Path, tmp_path: Path):
    result = panolink("encode", small, tmp_path / "a.plk", "--tau", "0")
    assert result.exit_code == 0, result.output
    assert "256×128" in result.stdout and "(0 of 128 tokens" in result.stdout
    result = panolink("decode", tmp_path / "a.plk", tmp_path / "a.webp")
    assert result.exit_code == 0 and "256×128" in result.stdout


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


def broken_pictures(folder: Path) -> dict[str, str]:
    picture = Image.fromarray(np.zeros((64, 128, 3), dtype=np.uint8))
    picture.save(folder / "whole.png")
    (folder / "truncated.png").write_bytes((folder / "whole.png").read_bytes()[:60])
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    picture.resize((64, 64)).save(folder / "square.png")
    picture.resize((1, 1)).save(folder / "dot.png")
    return {
        "truncated.png": "truncated",
        "text.png": "not an image",
        "empty.png": "empty",
        "square.png": "not 2:1",
        "dot.png": "too small",
        "absent.png": "no such file",
    }


def test_pictures_that_cannot_be_encoded(panolink: Run, tmp_path: Path):
    for name, reason in broken_pictures(tmp_path).items():
        line = one_line(panolink("encode", tmp_path / name, tmp_path / "a.plk", "--json"))
        assert name in line and reason in line
    assert not (tmp_path / "a.plk").exists()
    result = panolink("encode", tmp_path / "square.png", tmp_path / "a.plk", "--any-aspect", "--tau", "0", "--json")
    assert json.loads(result.stdout)["height"] == 64


def test_rates_and_models_that_cannot_be(panolink: Run, small: Path, tmp_path: Path):
    line = one_line(panolink("encode", small, tmp_path / "a.plk", "--bpp", "0.0001"))
    assert "small.png" in line and "least" in line
    line = one_line(panolink("encode", small, tmp_path / "a.plk", "--model", "nope"))
    assert "unknown model 'nope'" in line and "base" in line
    line = one_line(panolink("encode", small, tmp_path / "a.plk", "--model", tmp_path / "absent.safetensors"))
    assert "absent.safetensors" in line


def test_the_model_that_serves_the_rate(panolink: Run, small: Path, tmp_path: Path):
    result = panolink("encode", small, tmp_path / "a.plk", "--model", "auto", "--bpp", "0.2", "--json")
    assert result.exit_code == 0, result.output
    (told,) = objects(result.stdout)
    assert told["model"] == "base" and told["bpp"] <= 0.2
    assert panolink("decode", tmp_path / "a.plk", tmp_path / "a.png").exit_code == 0
    line = one_line(panolink("encode", small, tmp_path / "b.plk", "--model", "auto", "--bpp", "0.0001"))
    assert "small.png" in line and "the least is" in line


def test_the_smallest_picture(panolink: Run, tmp_path: Path):
    Image.fromarray(np.zeros((16, 32, 3), dtype=np.uint8)).save(tmp_path / "dot.png")
    assert "the least is" in one_line(panolink("encode", tmp_path / "dot.png", tmp_path / "a.plk", "--bpp", "0.1"))
    assert panolink("encode", tmp_path / "dot.png", tmp_path / "a.plk").exit_code == 0
    assert panolink("decode", tmp_path / "a.plk", tmp_path / "a.png").exit_code == 0
    assert load_panorama(tmp_path / "a.png").shape == (16, 32, 3)


def test_a_packet_of_another_profile(panolink: Run, small: Path, tmp_path: Path):
    panolink("encode", small, tmp_path / "a.plk", "--model", "paper", "--tau", "0")
    line = one_line(panolink("decode", tmp_path / "a.plk", tmp_path / "a.png", "--model", "base"))
    assert "a.plk" in line and "this codec holds 'base'" in line
    assert panolink("decode", tmp_path / "a.plk", tmp_path / "a.png").exit_code == 0  # found by its fingerprint


def test_weights_that_are_none(panolink: Run, small: Path, tmp_path: Path):
    weights = tmp_path / "broken.safetensors"
    weights.write_bytes(b"no weights")
    for command in (("encode", small, tmp_path / "a.plk"), ("info",)):
        arguments = (*command, weights) if command == ("info",) else (*command, "--model", weights)
        line = one_line(panolink(*arguments))
        assert "broken.safetensors" in line and "not a readable weights file" in line


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty"])
def test_packets_that_cannot_be_decoded(panolink: Run, small: Path, tmp_path: Path, damage: str):
    panolink("encode", small, tmp_path / "a.plk", "--tau", "0.2")
    data = (tmp_path / "a.plk").read_bytes()
    flipped = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    wrong = {"truncated": data[:-20], "flipped": flipped, "foreign": b"GIF89a" + data, "empty": b""}
    (tmp_path / "b.plk").write_bytes(wrong[damage])
    line = one_line(panolink("decode", tmp_path / "b.plk", tmp_path / "b.png"))
    assert "b.plk" in line
    assert not (tmp_path / "b.png").exists()


def test_a_packet_of_another_model(panolink: Run, small: Path, tmp_path: Path):
    panolink("encode", small, tmp_path / "a.plk", "--tau", "0")
    packet = Packet.from_bytes((tmp_path / "a.plk").read_bytes())
    slices = tuple(piece.payload or b"" for piece in packet.slices[1:])
    other = Packet.from_payloads([replace(packet.header, fingerprint="0" * 16).to_bytes(), *slices])
    (tmp_path / "b.plk").write_bytes(other.to_bytes())
    line = one_line(panolink("decode", tmp_path / "b.plk", tmp_path / "b.png"))
    assert "0" * 16 in line and packet.fingerprint in line
    line = one_line(panolink("decode", tmp_path / "b.plk", tmp_path / "b.png", "--model", "base"))
    assert "0" * 16 in line and packet.fingerprint in line


def test_a_picture_format_that_does_not_exist(panolink: Run, small: Path, tmp_path: Path):
    panolink("encode", small, tmp_path / "a.plk", "--tau", "0")
    assert "unknown image extension" in one_line(panolink("decode", tmp_path / "a.plk", tmp_path / "a.xyz"))
