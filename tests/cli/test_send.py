"""`send` to what `up` started as a real process."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
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
    *("snr_db", "measured_snr_db", "segments", "stream", "vpsnr_db", "vssim", "seconds"),
]


@pytest.mark.slow
def test_send_as_json(panolink: Run, link: dict[str, Any], small: Path, tmp_path: Path):
    (tmp_path / "bad.png").write_text("not a picture")
    to = link["transmitter"]["listen"]
    received = tmp_path / "received"
    sources = [small, tmp_path / "bad.png", tmp_path / "absent.png", small]
    result = panolink("send", *sources, "--to", to, "--bpp", "0.5", "--json", "--out", received)
    assert result.exit_code == 1
    told = sorted(objects(result.stdout), key=lambda one: int(one["id"]))
    assert all(list(one) == KEYS for one in told)
    assert [one["delivered"] for one in told] == [True, False, False, True]
    assert [Path(one["source"]).name for one in told] == ["small.png", "bad.png", "absent.png", "small.png"]
    first, bad = told[0], told[1]
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
    assert {Path(one["path"]).name for one in told if one["path"]} == {plain, numbered}
    assert told[1]["error"]["code"] == "INVALID_ARGUMENT" and "not an image" in told[1]["error"]["message"]
    assert told[0]["error"] is None


@pytest.mark.slow
def test_send_a_folder_and_a_video_for_people(panolink: Run, link: dict[str, Any], small: Path, tmp_path: Path):
    folder = tmp_path / "walk"
    folder.mkdir()
    write_video(folder / "clip.mp4")
    small.rename(folder / "a.png")
    result = panolink("send", folder, "--to", link["transmitter"]["listen"], "--tau", "0", "--no-picture")
    assert result.exit_code == 0, result.output
    for name in ("a.png", "clip.mp4#0001", "clip.mp4#0002"):
        assert result.stdout.count(name) == 2  # a line when it was answered, and a row of the table
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"{folder / name}: ")]
        assert "segments lost" in line and "bpp" in line and " ms" in line
    assert "mean" in result.stdout and "3 panoramas: 3 delivered, 0 lost" in result.stdout


@pytest.mark.slow
def test_send_adaptively(panolink: Run, link: dict[str, Any], small: Path):
    to = link["transmitter"]["listen"]
    sources = [small] * 6
    result = panolink("send", *sources, "--to", to, "--adaptive", "--symbols-per-pixel", "0.3", "--json")
    assert result.exit_code == 0, result.output
    told = sorted(objects(result.stdout), key=lambda one: int(one["id"]))
    for one in told:
        assert one["symbols"] <= one["symbol_budget"] == int(0.3 * 256 * 128)
        assert one["symbols_per_pixel"] <= 0.3
    assert told[-1]["adapted"]["snr_db"] > told[0]["adapted"]["snr_db"]
    assert told[-1]["tau"] > told[0]["tau"]
    assert told[-1]["measured_snr_db"] == pytest.approx(20, abs=2)
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


def test_a_file_where_the_folder_should_be(panolink: Run, small: Path):
    line = one_line(panolink("send", small, "--to", "127.0.0.1:1", "--out", small))
    assert line == f"panolink: {small}: Not a directory"


@pytest.mark.slow
def test_what_the_transmitter_refuses(panolink: Run, link: dict[str, Any], small: Path):
    result = panolink("send", small, "--to", link["transmitter"]["listen"], "--model", "nope")
    assert "small.png" in one_line(result) and "no model 'nope'" in result.stderr


@pytest.mark.slow
def test_nobody_there(panolink: Run, small: Path, tmp_path: Path, free_port: Callable[[], int], monkeypatch: Any):
    monkeypatch.setattr("panolink.cli.transfer.CONNECT_SECONDS", 0.3)
    place = f"127.0.0.1:{free_port()}"
    for command in (("send", small, "--to", place), ("watch", place, "--out", tmp_path), ("channel", place)):
        line = one_line(panolink(*command)) if command[0] != "watch" else panolink(*command).stderr
        assert f"nothing answers at {place}" in line and "panolink up" in line


@pytest.mark.slow
def test_a_pipe_and_frames_that_are_asked_for(link: dict[str, Any], tmp_path: Path):
    write_video(tmp_path / "clip.mkv", frames=10)
    command = [*PANOLINK, "send", "-", "--to", link["transmitter"]["listen"], "--every", "4", "--tau", "0", "--json"]
    with (tmp_path / "clip.mkv").open("rb") as pipe:
        done = subprocess.run(command, stdin=pipe, capture_output=True, env=ENVIRONMENT, timeout=60, check=True)
    told = objects(done.stdout.decode())
    assert sorted(one["source"] for one in told) == [f"standard input#000{number}" for number in (1, 2, 3)]


@pytest.mark.slow
def test_ctrl_c_tells_what_was_delivered_and_what_was_under_way(link: dict[str, Any], small: Path, tmp_path: Path):
    """Whatever is being read: here a pipe to which nobody writes."""
    os.mkfifo(tmp_path / "pipe")
    command = [*PANOLINK, "send", str(small), str(tmp_path / "pipe"), "--to", link["transmitter"]["listen"], "--json"]
    send = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)  # waits until the pipe is being read
    assert send.stdout and objects(send.stdout.readline())[0]["delivered"]
    send.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, told = send.communicate(timeout=20)
    os.close(writer)
    assert send.returncode == 130 and time.monotonic() - began < 5
    assert told == "panolink: interrupted: 1 delivered, 0 under way\n"


@pytest.mark.long
def test_odd_names_in_any_locale(link: dict[str, Any], small: Path, tmp_path: Path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9 \xf0\x9f\x8f\x94.png"
    os.rename(small, odd)
    command = [
        *PANOLINK,
        "send",
        odd,
        "--to",
        link["transmitter"]["listen"],
        "--no-picture",
        "--out",
        str(tmp_path / "x"),
    ]
    command.remove("--no-picture")
    for environment in ({"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "C.UTF-8"}):
        for more in ([], ["--json"]):
            done = subprocess.run(
                [*command, *more], capture_output=True, env={**ENVIRONMENT, **environment}, timeout=60
            )
            assert done.returncode == 0, done.stderr
            assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_send_a_stream_live(panolink: Run, link: dict[str, Any], tmp_path: Path):
    """In the video's own time; what is left out is counted, and most pictures are predicted."""
    write_video(tmp_path / "clip.mp4", frames=20)  # two seconds
    to = link["transmitter"]["listen"]
    rate = ("--bitrate", "100k", "--fps", "10")
    began = time.monotonic()
    result = panolink("send", tmp_path / "clip.mp4", "--to", to, *rate, "--focus", "90,0", "--json")
    assert result.exit_code == 0, result.output
    assert time.monotonic() - began > 1.5
    told = objects(result.stdout)
    pictures = sorted((one["stream"] for one in told), key=lambda picture: picture["number"])  # as answers came in
    assert [picture["number"] for picture in pictures] == list(range(1, len(told) + 1))
    whole = [picture["number"] for picture in pictures if not picture["reference"]]
    assert whole[0] == 1 and len(whole) <= len(told) / 3
    assert abs(pictures[0]["focus"][0]["yaw"] - 90) < 1 and all(one["vpsnr_db"] is None for one in told)
    left_out = 20 - len(told)
    assert left_out >= 0 and (f"; {left_out} left out at the source" in result.stderr) == bool(left_out)

    table = panolink(
        "send", tmp_path / "clip.mp4", "--to", to, "--stream", "--bpp", "1.2", "--duration", "0.5", "--picture"
    )
    assert table.exit_code == 0 and "5 panoramas: 5 delivered" in table.stdout
    assert "unchanged" in table.stdout
    assert "whole" in table.stdout and "% new" in table.stdout


@pytest.mark.slow
def test_ctrl_c_while_a_pipe_is_quiet(link: dict[str, Any]):
    command = [*PANOLINK, "send", "-", "--to", link["transmitter"]["listen"], "--bitrate", "300k"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=ENVIRONMENT, **pipes) as process:
        time.sleep(3)  # it waits for the first bytes by then
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert process.stdin and process.stderr
        told = process.stderr.read().decode()
    assert process.returncode == 130 and "Fatal" not in told, told


def test_what_streams_cannot_have(panolink: Run):
    for options, says in (
        (("--bitrate", "1M", "--bpp", "0.1"), "give one of them"),
        (("--bitrate", "fast"), "is no bit rate"),
        (("--stream", "--tau", "0.5"), "a stream takes --bitrate"),
        (("--focus", "auto"), "auto is for streams"),
        (("--focus", "0,95"), "pitch of a focus is 95"),
    ):
        result = panolink("send", "absent.mp4", *options)
        assert result.exit_code == 2 and says in " ".join(result.output.replace("│", " ").split()), result.output


def write_video(path: Path, frames: int = 2) -> None:
    """Of a still scene, across which something moves."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for level in range(frames):
            picture = np.broadcast_to(np.linspace(30, 220, 128, dtype=np.uint8)[:, None], (64, 128, 3)).copy()
            picture[24:40, 4 * level : 4 * level + 16] = (250, 20, 20)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
