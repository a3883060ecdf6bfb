import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from panolink import images
from panolink.codec.bitstream import Packet
from panolink.images import load_panorama, read_picture
from panolink.images.formats import MOST_SIDE
from panolink.metrics.viewport import vpsnr
from panolink.sphere.metadata import SphereMetadata
from tests.cli.helpers import ENVIRONMENT, PANOLINK, objects, one_line
from tests.images.pictures import CASES

Run = Callable[..., Result]
GOLDEN = Path(__file__).parent.parent / "golden"


def test_encode_and_decode(panolink: Run, small: Path, tmp_path: Path):
    packet, picture = tmp_path / "a.plk", tmp_path / "a.png"
    result = panolink("encode", small, packet, "--bpp", "0.5", "--json")
    assert result.exit_code == 0, result.output
    (printed,) = objects(result.stdout)
    keys = ["model", "fingerprint", "width", "height", "bpp", "bits", "tokens", "kept", "seconds", "sphere"]
    assert list(printed) == keys
    assert set(printed["bits"]) == {"header", "indices", "mask", "features"}
    assert (printed["model"], printed["width"], printed["height"], printed["tokens"]) == ("base", 256, 128, 16 * 8)
    assert printed["bpp"] <= 0.5
    assert sum(printed["bits"].values()) == 8 * packet.stat().st_size

    result = panolink("decode", packet, picture, "--json")
    assert result.exit_code == 0, result.output
    (decoded,) = objects(result.stdout)
    assert decoded["fingerprint"] == printed["fingerprint"]
    assert vpsnr(load_panorama(small), load_panorama(picture)) > 20


def test_realism_lies_between_the_two_decoders(panolink: Run, small: Path, tmp_path: Path):
    packet = tmp_path / "a.plk"
    assert panolink("encode", small, packet, "--bpp", "0.2").exit_code == 0
    seen: dict[str, np.ndarray] = {}
    for name, options in {
        "default": [],
        "0": ["--realism", "0"],
        "0.5": ["--realism", "0.5"],
        "1": ["--realism", "1"],
        "perceptual": ["--decoder", "perceptual"],
    }.items():
        result = panolink("decode", packet, tmp_path / f"{name}.png", *options)
        assert result.exit_code == 0, result.output
        seen[name] = load_panorama(tmp_path / f"{name}.png").astype(float)
    assert np.array_equal(seen["0"], seen["default"]) and np.array_equal(seen["1"], seen["perceptual"])
    whole = np.abs(seen["1"] - seen["0"]).mean()
    assert all(0.2 * whole < np.abs(seen["0.5"] - seen[end]).mean() < 0.8 * whole for end in ("0", "1"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--realism", "1.5"], "realism 1.5; allowed is a number from 0"),
        (["--realism", "nan"], "realism nan; allowed is a number from 0"),
        (["--realism", "much"], "unable to parse string as a number"),
        (["--realism", "0.5", "--decoder", "perceptual"], "decoder perceptual is realism 1, not 0.5"),
    ],
)
def test_realism_that_makes_no_sense(panolink: Run, tmp_path: Path, options: list[str], told: str):
    result = panolink("decode", tmp_path / "a.plk", tmp_path / "a.png", *options)
    assert result.exit_code == 2 and told in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("name, why", [("a.xyz", "unknown image extension '.xyz'"), ("a.webp", "no room in WEBP")])
def test_what_a_format_cannot_take_is_found_out_before_decoding(
    panolink: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
):
    def decoded_all_the_same(*_: object) -> None:
        raise AssertionError("it looks for a model")

    monkeypatch.setattr("panolink.cli.coding._codec_for", decoded_all_the_same)
    monkeypatch.setitem(MOST_SIDE, "WEBP", 63)
    assert why in one_line(panolink("decode", GOLDEN / "base.plk", tmp_path / name))


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_a_video_is_refused_by_its_first_bytes(
    panolink: Run, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "clip.plk"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100_000))
    seen: list[int] = []
    parse, read = Packet.from_bytes, images.read_picture
    monkeypatch.setattr(Packet, "from_bytes", lambda data: seen.append(len(data)) or parse(data))
    monkeypatch.setattr(images, "read_picture", lambda data, **_: seen.append(len(data)) or read(data, **_))
    line = one_line(panolink(command, path, *([tmp_path / "out.png"] if command != "info" else [])))
    assert ("a video, not an image" if command == "encode" else "not a Panolink packet") in line and seen == [4096]


@pytest.mark.slow
def test_a_focus_takes_the_bits_to_where_it_is(panolink: Run, small: Path, tmp_path: Path):
    seen = []
    for name, focus in (("there", ["--focus", "0,0,60"]), ("elsewhere", ["--focus", "180,0,60"])):
        result = panolink("encode", small, tmp_path / f"{name}.plk", "--bpp", "0.5", *focus)
        assert result.exit_code == 0, result.output
        assert panolink("decode", tmp_path / f"{name}.plk", tmp_path / f"{name}.png").exit_code == 0
        difference = load_panorama(small).astype(float) - load_panorama(tmp_path / f"{name}.png")
        seen.append(float((difference[32:96, 96:160] ** 2).mean()))
    assert seen[0] < 0.7 * seen[1]
    found = panolink("info", tmp_path / "elsewhere.plk").output
    assert "yaw -180, pitch 0, width 60" in found or "yaw 180, pitch 0, width 60" in found
    result = panolink("encode", small, tmp_path / "no.plk", "--focus", "auto")
    assert result.exit_code == 2 and "auto is for panolink send" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("more", ["medium", "slow"])
def test_more_effort_is_no_longer_and_closer(panolink: Run, small: Path, tmp_path: Path, more: str):
    found = []
    for effort in ("fast", more):
        packet, picture = tmp_path / f"{effort}.plk", tmp_path / f"{effort}.png"
        result = panolink("encode", small, packet, "--bpp", "0.15", "--effort", effort)
        assert result.exit_code == 0, result.output
        assert panolink("decode", packet, picture).exit_code == 0
        error = float(((load_panorama(picture).astype(float) - load_panorama(small)) ** 2).mean())
        found.append((packet.stat().st_size, error))
    assert found[1][0] <= found[0][0] and found[1][1] < found[0][1]
    result = panolink("encode", small, tmp_path / "no.plk", "--effort", "slower")
    assert result.exit_code == 2 and "'slow'." in result.output


def test_tau_and_the_text_for_people(panolink: Run, small: Path, tmp_path: Path):
    result = panolink("encode", small, tmp_path / "a.plk", "--tau", "0")
    assert result.exit_code == 0, result.output
    assert "256×128" in result.stdout and "(0 of 128 tokens" in result.stdout
    result = panolink("decode", tmp_path / "a.plk", tmp_path / "a.webp")
    assert result.exit_code == 0 and "256×128" in result.stdout


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


@pytest.mark.slow
def test_the_model_that_serves_the_rate(panolink: Run, small: Path, tmp_path: Path):
    result = panolink("encode", small, tmp_path / "a.plk", "--model", "auto", "--bpp", "0.2", "--json")
    assert result.exit_code == 0, result.output
    (printed,) = objects(result.stdout)
    assert printed["model"] == "base" and printed["bpp"] <= 0.2
    assert panolink("decode", tmp_path / "a.plk", tmp_path / "a.png").exit_code == 0
    line = one_line(panolink("encode", small, tmp_path / "b.plk", "--model", "auto", "--bpp", "0.0001"))
    assert "small.png" in line and "the least is" in line


def test_the_smallest_picture(panolink: Run, tmp_path: Path):
    Image.fromarray(np.zeros((16, 32, 3), dtype=np.uint8)).save(tmp_path / "dot.png")
    assert "the least is" in one_line(panolink("encode", tmp_path / "dot.png", tmp_path / "a.plk", "--bpp", "0.1"))
    assert panolink("encode", tmp_path / "dot.png", tmp_path / "a.plk").exit_code == 0
    assert panolink("decode", tmp_path / "a.plk", tmp_path / "a.png").exit_code == 0
    assert load_panorama(tmp_path / "a.png").shape == (16, 32, 3)


@pytest.mark.slow
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


@pytest.mark.slow
def test_nothing_is_overwritten_unless_asked_for(panolink: Run, small: Path, tmp_path: Path):
    before = small.read_bytes()
    line = one_line(panolink("encode", small, small))
    assert "small.png" in line and "--overwrite" in line and small.read_bytes() == before
    packet, link = tmp_path / "a.plk", tmp_path / "link.plk"
    assert panolink("encode", small, packet).exit_code == 0
    link.symlink_to(small)
    for target in (packet, link):
        assert "exists already" in one_line(panolink("encode", small, target))
    assert panolink("encode", small, link, "--overwrite").exit_code == 0
    assert not link.is_symlink() and small.read_bytes() == before  # the link is replaced, not followed
    picture = tmp_path / "a.jpg"
    assert panolink("decode", packet, picture).exit_code == 0
    assert "exists already" in one_line(panolink("decode", packet, picture))
    assert panolink("decode", packet, picture, "--overwrite").exit_code == 0
    assert not list(tmp_path.glob(".panolink-*"))


@pytest.mark.slow
def test_pose_and_crop_go_into_the_packet_and_out_of_it(panolink: Run, tmp_path: Path):
    packet = tmp_path / "theta.plk"
    assert panolink("encode", CASES / "theta.jpg", packet, "--bpp", "0.2").exit_code == 0
    (printed,) = objects(panolink("info", packet, "--json").stdout)
    assert printed["sphere"] == {"heading": 225.0, "pitch": 17.0, "roll": -12.0} and printed["exif_bytes"] == 0
    assert "heading 225" in panolink("info", packet).stdout
    for suffix in (".png", ".jpg", ".webp"):
        target = tmp_path / f"out{suffix}"
        assert panolink("decode", packet, target).exit_code == 0
        found = read_picture(target)
        assert found.sphere == SphereMetadata(225, 17, -12) and b"RICOH" not in target.read_bytes()
    result = panolink("encode", CASES / "crop2to1.jpg", tmp_path / "crop.plk", "--bpp", "0.2", "--json")
    (printed,) = objects(result.stdout)
    assert (printed["width"], printed["height"]) == (512, 256) and printed["bpp"] <= 0.2
    assert printed["sphere"]["crop"] == {
        "left": 128, "top": 64, "width": 256, "height": 128, "full_width": 512, "full_height": 256
    }  # fmt: skip
    assert "placed on the sphere" in result.stderr


@pytest.mark.slow
def test_exif_is_kept_where_asked_for(panolink: Run, tmp_path: Path):
    assert panolink("encode", CASES / "theta.jpg", tmp_path / "a.plk", "--keep-metadata").exit_code == 0
    for suffix in (".png", ".jpg", ".webp"):
        assert panolink("decode", tmp_path / "a.plk", tmp_path / f"a{suffix}").exit_code == 0
        with Image.open(tmp_path / f"a{suffix}") as image:
            assert image.getexif()[0x0110] == "RICOH THETA Z1" and image.getexif().get_ifd(0x8825)[1] == "N"


@pytest.mark.long
def test_streams(panolink: Run, small: Path, tmp_path: Path):
    encode = subprocess.run(
        [*PANOLINK, "encode", "-", "-"], input=small.read_bytes(), capture_output=True, env=ENVIRONMENT, check=True
    )
    assert encode.stdout.startswith(b"PLK") and b"256" in encode.stderr
    decode = subprocess.run(
        [*PANOLINK, "decode", "-", "-"], input=encode.stdout, capture_output=True, env=ENVIRONMENT, check=True
    )
    assert load_panorama(decode.stdout).shape == (128, 256, 3)


def test_a_full_disk_is_one_line(panolink: Run, small: Path):
    line = one_line(panolink("encode", small, "/dev/full"))
    assert "/dev/full" in line and "No space left" in line


@pytest.mark.slow
@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_devices_that_are_not_here_are_one_line(panolink: Run, small: Path, tmp_path: Path, device: str):
    line = one_line(panolink("encode", small, tmp_path / "a.plk", "--device", device))
    assert f"no device '{device}' here; there are auto, cpu" in line
    assert panolink("encode", small, tmp_path / "a.plk", "--tau", "0").exit_code == 0
    assert f"'{device}'" in one_line(panolink("decode", tmp_path / "a.plk", tmp_path / "a.png", "--device", device))


def test_double_fisheyes_and_cubemaps(panolink: Run, tmp_path: Path):
    picture = np.zeros((96, 192, 3), np.uint8)
    rows, cols = (np.arange(96) + 0.5) / 96 - 0.5, ((np.arange(192) + 0.5) / 96) % 1 - 0.5
    picture[np.hypot(rows[:, None], cols) < 0.5] = (200, 150, 90)
    Image.fromarray(picture).save(tmp_path / "eyes.png")
    Image.fromarray(np.full((64, 96, 3), 120, np.uint8)).save(tmp_path / "cube.png")
    for name, projection, size in (("eyes", "dfisheye", (192, 96)), ("cube", "cubemap", (128, 64))):
        source, target = tmp_path / f"{name}.png", tmp_path / f"{name}.plk"
        assert f"--projection {projection}" in one_line(panolink("encode", source, target))
        result = panolink("encode", source, target, "--projection", projection, "--tau", "0", "--json")
        (told,) = objects(result.stdout)
        assert (told["width"], told["height"]) == size and "panolink: note: " in result.stderr
    wide = ("--projection", "dfisheye", "--lens-degrees", "200", "--tau", "0")
    assert "lenses of 200°" in panolink("encode", tmp_path / "eyes.png", tmp_path / "wide.plk", *wide).stderr
