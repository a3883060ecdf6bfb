"""`up` as a real process, and the commands that talk to what it started."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from tests.cli.helpers import ENVIRONMENT, PANOLINK, objects, one_line

Run = Callable[..., Result]


KEYS = [
    *(
        "id",
        "source",
        "delivered",
        "path",
        "error",
        "bpp",
        "symbols_per_pixel",
        "symbols",
        "rounds",
        "retransmitted_symbols",
    ),
    *("symbol_budget", "tau", "schemes", "adapted"),
    *("snr_db", "measured_snr_db", "segments", "vpsnr_db", "vssim", "seconds"),
]


@pytest.mark.slow
def test_send_as_json(panolink: Run, link: dict[str, Any], small: Path, tmp_path: Path):
    (tmp_path / "bad.png").write_text("not a picture")
    to = link["transmitter"]["listen"]
    received = tmp_path / "received"
    sources = [small, tmp_path / "bad.png", tmp_path / "absent.png", small]
    result = panolink("send", *sources, "--to", to, "--bpp", "0.5", "--json", "--out", received)
    assert result.exit_code == 1
    printed = sorted(objects(result.stdout), key=lambda one: int(one["id"]))
    assert all(list(one) == KEYS for one in printed)
    assert [one["delivered"] for one in printed] == [True, False, False, True]
    assert [Path(one["source"]).name for one in printed] == ["small.png", "bad.png", "absent.png", "small.png"]
    first, bad = printed[0], printed[1]
    assert 0 < first["bpp"] <= 0.5 and first["snr_db"] == 20
    assert set(first["segments"]) == {"sent", "lost", "unsent", "recovered"}
    assert first["symbol_budget"] is None and first["adapted"] is None
    assert 0 < first["tau"] <= 1 and first["schemes"]["header"][0].startswith("qpsk 1/")
    assert first["vpsnr_db"] > 20 and first["vssim"] > 0.5
    assert {"encode", "quantize", "entropy_code", "fec_encode", "channel", "fec_decode", "total"} <= set(
        first["seconds"]
    )
    assert bad["bpp"] is None and bad["vpsnr_db"] is None
    assert "4 panoramas: 2 delivered, 0 lost, 2 not sent" in result.stderr
    assert "bad.png" in result.stderr and "not an image" in result.stderr and "no such file" in result.stderr
    plain, numbered = sorted(path.name for path in received.iterdir())
    assert plain == "small_received.png"
    assert numbered == "small_received_2.png"
    assert {Path(one["path"]).name for one in printed if one["path"]} == {plain, numbered}
    assert printed[1]["error"]["code"] == "INVALID_ARGUMENT" and "not an image" in printed[1]["error"]["message"]
    assert printed[0]["error"] is None


@pytest.mark.slow
def test_send_a_folder_and_a_video_for_people(panolink: Run, link: dict[str, Any], small: Path, tmp_path: Path):
    folder = tmp_path / "walk"
    folder.mkdir()
    write_video(folder / "clip.mp4")
    small.rename(folder / "a.png")
    result = panolink("send", folder, "--to", link["transmitter"]["listen"], "--tau", "0", "--no-picture")
    assert result.exit_code == 0, result.output
    for name in ("a.png", "clip.mp4#0001", "clip.mp4#0002"):
        assert name in result.stdout.replace("\n", "")
    assert "mean" in result.stdout and "3 panoramas: 3 delivered, 0 lost" in result.stdout


@pytest.mark.slow
def test_send_adaptively(panolink: Run, link: dict[str, Any], small: Path):
    to = link["transmitter"]["listen"]
    sources = [small] * 6
    result = panolink("send", *sources, "--to", to, "--adaptive", "--symbols-per-pixel", "0.3", "--json")
    assert result.exit_code == 0, result.output
    printed = sorted(objects(result.stdout), key=lambda one: int(one["id"]))
    for one in printed:
        assert one["symbols"] <= one["symbol_budget"] == int(0.3 * 256 * 128)
        assert one["symbols_per_pixel"] <= 0.3
    assert printed[-1]["adapted"]["snr_db"] > printed[0]["adapted"]["snr_db"]
    assert printed[-1]["tau"] > printed[0]["tau"]
    assert printed[-1]["measured_snr_db"] == pytest.approx(20, abs=2)
    result = panolink("send", small, "--to", to, "--adaptive", "--deadline", "9ms", "--no-picture")
    assert result.exit_code == 0 and "sent for" in result.stdout and "τ" in result.stdout
    assert any(scheme in result.stdout for scheme in ("qpsk", "16qam", "64qam"))
    line = one_line(panolink("send", small, "--to", to, "--adaptive", "--deadline", "0.04ms"))
    assert "small.png: budget of 40 symbols" in line and "the least is" in line


@pytest.mark.slow
def test_send_without_a_code_and_in_rounds(panolink: Run, link: dict[str, Any], small: Path):
    to = link["transmitter"]["listen"]
    asked = ("--symbols-per-pixel", "0.3", "--harq", "2", "--no-picture", "--json")
    (analogue,) = objects(panolink("send", small, "--to", to, "--analogue", *asked).stdout)
    (coded,) = objects(panolink("send", small, "--to", to, "--digital", *asked).stdout)
    assert analogue["delivered"] and coded["delivered"]
    assert "analogue" in analogue["schemes"]["features"] and "analogue" not in coded["schemes"]["features"]
    assert analogue["symbols"] <= analogue["symbol_budget"]
    assert (analogue["rounds"], analogue["retransmitted_symbols"]) == (1, 0)
    assert panolink("send", small, "--to", to, "--harq", "4").exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--adaptive", "--bpp", "0.1"),
        ("--bpp", "0.1", "--symbols-per-pixel", "0.1"),
        ("--symbols-per-pixel", "0"),
        ("--deadline", "soon"),
        ("--deadline", "0ms"),
    ],
)
def test_budgets_that_make_no_sense_are_usage_errors(panolink: Run, small: Path, options: tuple[str, ...]):
    assert panolink("send", small, "--to", "127.0.0.1:1", *options).exit_code == 2


@pytest.mark.slow
def test_what_the_transmitter_refuses(panolink: Run, link: dict[str, Any], small: Path):
    result = panolink("send", small, "--to", link["transmitter"]["listen"], "--model", "nope")
    assert "small.png" in one_line(result) and "no model 'nope'" in result.stderr


@pytest.mark.slow
def test_watch(panolink: Run, link: dict[str, Any], small: Path, tmp_path: Path):
    watching: list[Result] = []
    command = ("watch", link["receiver"]["listen"], "--out", tmp_path / "seen", "--count", "1", "--json")
    watcher = threading.Thread(target=lambda: watching.append(panolink(*command)))
    # CliRunner changes the process's standard streams, so the sender is another process.
    watcher.start()
    for _ in range(5):
        send = [*PANOLINK, "send", str(small), "--to", link["transmitter"]["listen"], "--no-picture", "--json"]
        assert subprocess.run(send, capture_output=True, env=ENVIRONMENT).returncode == 0
        watcher.join(1)
        if not watcher.is_alive():
            break
    (result,) = watching
    assert result.exit_code == 0, result.output
    (seen,) = objects(result.stdout)
    assert Path(seen["source"]).name == "small.png" and (seen["width"], seen["height"]) == (256, 128)
    assert np.asarray(Image.open(seen["path"])).shape == (128, 256, 3)


def test_nobody_there(panolink: Run, small: Path, tmp_path: Path, free_port: Callable[[], int], monkeypatch: Any):
    monkeypatch.setattr("panolink.cli.transfer.CONNECT_SECONDS", 0.3)
    place = f"127.0.0.1:{free_port()}"
    for command in (("send", small, "--to", place), ("watch", place, "--out", tmp_path), ("channel", place)):
        line = one_line(panolink(*command)) if command[0] != "watch" else panolink(*command).stderr
        assert f"nothing answers at {place}" in line and "panolink up" in line


def write_video(path: Path, frames: int = 2) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for level in range(frames):
            picture = np.full((64, 128, 3), 40 * level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
