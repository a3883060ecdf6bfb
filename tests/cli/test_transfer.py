"""`up` as a real process, and the commands that talk to what it started."""

import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from panolink.cli.process_group import Ports
from tests.cli.helpers import ENVIRONMENT, PANOLINK, alive, objects, one_line, port_options, running

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


@pytest.fixture(scope="module")
def link() -> Iterator[dict[str, Any]]:
    """The three services, and where they listen."""
    with running("--snr", "20", "--seed", "1") as (_, places):
        yield places


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


def test_what_the_transmitter_refuses(panolink: Run, link: dict[str, Any], small: Path):
    result = panolink("send", small, "--to", link["transmitter"]["listen"], "--model", "nope")
    assert "small.png" in one_line(result) and "no model 'nope'" in result.stderr


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


def test_change_the_channel(panolink: Run, link: dict[str, Any]):
    place = link["channel"]["listen"]
    before = objects(panolink("channel", place, "--json").stdout)[0]
    told = {"model": "rayleigh", "snr_db": 20, "coherence_symbols": 256, "rician_k_db": 6, "seed": 1, "schedule": None}
    assert before.items() >= told.items()
    result = panolink("channel", place, "--model", "rician", "--snr", "7", "--rician-k", "3", "--unseeded", "--json")
    assert objects(result.stdout) == [before | {"model": "rician", "snr_db": 7, "rician_k_db": 3, "seed": None}]
    assert "rician" in panolink("channel", place).stdout
    panolink("channel", place, "--model", "rayleigh", "--snr", "20", "--seed", "1")
    assert "another kind of service" in one_line(panolink("channel", link["receiver"]["listen"]))


def test_the_channel_takes_files_and_other_units(panolink: Run, link: dict[str, Any], tmp_path: Path):
    place = link["channel"]["listen"]
    (before,) = objects(panolink("channel", place, "--json").stdout)
    fade = tmp_path / "fade.toml"
    fade.write_text("repeat = true\n[[phase]]\nseconds = 5\nsnr_db = 20\n[[phase]]\nseconds = 2\nsnr_db = [20, 2]\n")
    moving = ("--model", "tdl-c", "--speed", "30", "--carrier", "3.5", "--delay-spread", "300", "--subcarriers", "72")
    lossy = ("--erasure", "0.1", "--erasure-burst", "3", "--packet", "500", "--symbol-rate", "2e6", "--clock", "wall")
    (told,) = objects(panolink("channel", place, *moving, *lossy, "--scenario", fade, "--json").stdout)
    assert told["doppler_hz"] == pytest.approx(97.3, abs=0.1)
    assert told["delay_spread_s"] == pytest.approx(300e-9)
    names = ("model", "subcarriers", "erasure_rate", "erasure_burst", "packet_symbols", "symbol_rate_hz", "clock")
    assert [told[name] for name in names] == ["tdl-c", 72, 0.1, 3, 500, 2e6, "wall"]
    assert told["schedule"] == "scenario of 2 phases, 7 s, then again"

    drive = tmp_path / "drive.csv"
    drive.write_text("time_s,snr_db\n0,12\n1,3\n")
    (told,) = objects(panolink("channel", place, "--trace", drive, "--repeat-trace", "--json").stdout)
    assert told["schedule"] == "SNR trace of 2 samples, 1 s, then again"
    fade.write_text(fade.read_text().replace("[20, 2]", "[20, low]"))
    assert f"{fade}, line 7: " in one_line(panolink("channel", place, "--scenario", fade))
    assert "absent.toml: No such file" in one_line(panolink("channel", place, "--scenario", tmp_path / "absent.toml"))
    assert "erasure_burst is 3.0; allowed at an" in one_line(panolink("channel", place, "--erasure", "0.8"))
    for pair in (("--doppler", "1", "--speed", "1"), ("--trace", drive, "--unscheduled"), ("--repeat-trace",)):
        assert panolink("channel", place, *pair).exit_code == 2
    back = ("--model", "rayleigh", "--doppler", "10", "--subcarriers", "64", "--symbol-rate", "1e6", "--erasure", "0")
    rest = ("--erasure-burst", "0", "--packet", "0", "--clock", "stream", "--unscheduled", "--json")
    assert objects(panolink("channel", place, *back, *rest).stdout) == [before]


def test_info_tells_of_services(panolink: Run, link: dict[str, Any]):
    places = [link[name]["listen"] for name in ("transmitter", "channel", "receiver")]
    found = objects(panolink("info", *places, "--json").stdout)
    assert [one["service"] for one in found] == ["transmitter", "channel", "receiver"]
    assert found[0]["target"] == places[1]
    assert found[0]["models"] == found[2]["models"]


def test_nobody_there(panolink: Run, small: Path, tmp_path: Path, free_port: Callable[[], int], monkeypatch: Any):
    monkeypatch.setattr("panolink.cli.transfer.CONNECT_SECONDS", 0.3)
    place = f"127.0.0.1:{free_port()}"
    for command in (("send", small, "--to", place), ("watch", place, "--out", tmp_path), ("channel", place)):
        line = one_line(panolink(*command)) if command[0] != "watch" else panolink(*command).stderr
        assert f"nothing answers at {place}" in line and "panolink up" in line


def test_up_says_which_port_is_in_use(panolink: Run):
    ports = Ports.free()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.channel))
        taken.listen()
        line = one_line(panolink("up", *port_options(ports)))
    assert str(ports.channel) in line and "--channel-port" in line
    line = one_line(panolink("up", "--channel-port", "50051", "--metrics-port", "0"))
    assert "--transmitter-port" in line and "--channel-port" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_stops_in_order(number: signal.Signals):
    with running() as (up, places):
        up.send_signal(number)
        _, log = up.communicate(timeout=60)
    assert up.returncode == 0
    drains = [line.partition(" ")[0] for line in log.splitlines() if line.endswith("drains")]
    assert drains == ["transmitter", "channel", "receiver"]
    assert not any(alive(places[name]["pid"]) for name in ("transmitter", "channel", "receiver"))


def test_up_ends_when_a_child_dies():
    with running() as (up, places):
        subprocess.run(["kill", "-KILL", str(places["channel"]["pid"])], check=True)
        _, log = up.communicate(timeout=60)
    assert up.returncode == 1
    assert "panolink: channel was killed by SIGKILL" in log
    assert not any(alive(places[name]["pid"]) for name in ("transmitter", "receiver"))


def test_a_service_that_cannot_start():
    command = [*PANOLINK, "up", *port_options(Ports.free()), "--model", "nope"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1
    last = [line for line in done.stderr.splitlines() if line.startswith("panolink: ")][-1]
    assert "ended with exit code 1" in last and "unknown model 'nope'" in last


def write_video(path: Path, frames: int = 2) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for level in range(frames):
            picture = np.full((64, 128, 3), 40 * level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
