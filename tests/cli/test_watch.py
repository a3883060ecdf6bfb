"""`watch`: files and a video of what a receiver receives, and receivers that go away."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from panolink.cli.watch import Watcher
from panolink.client import Client
from panolink.errors import AccessError, LinkError
from panolink.images import Picture, load_panorama
from panolink.images.spherical_video import SphericalVideo
from panolink.images.video import video_frames
from panolink.images.wire_pictures import encode_picture
from panolink.picture_format import PictureFormat
from panolink.rpc.server.server import Server
from panolink.rpc.wire.deliveries import ReceivedPanorama, Segments
from panolink.services.receiver.servicer import build
from panolink.services.receiver.settings import ReceiverSettings
from panolink.sphere.metadata import SphereMetadata
from tests.cli.helpers import ENVIRONMENT, PANOLINK, objects, one_line

Start = Callable[..., Awaitable[Server]]
Run = Callable[..., Result]
PICTURE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)


async def send(address: str, count: int = 1) -> None:
    pictures = [(f"pano.jpg#{number:04d}", Picture(PICTURE, SphereMetadata(heading=90))) for number in range(count)]
    async with Client(address) as link:
        async for delivery in link.send(pictures, tau=0.5, picture=False):
            assert delivery.delivered, delivery.error


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.02)


def watcher(target: str, folder: Path | None, *, count: int = 0, wait: bool = True) -> Watcher:
    return Watcher(target, folder, count, wait, overwrite=False, json=True)


@pytest.mark.slow
async def test_a_receiver_that_comes_back_is_watched_again(
    start: Start, weights: Callable[[int], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Its numbers begin anew then, and nothing that was written is replaced."""
    settings: dict[str, Any] = {"models": (str(weights(0)),), "device": "cpu", "workers": 1, "metrics_listen": "off"}
    async with AsyncExitStack() as first:
        receiver = await first.enter_async_context(build(ReceiverSettings(listen="127.0.0.1:0", **settings)))
        transmitter = await start("transmitter", target=receiver.address, reconnect_seconds=20)
        one = watcher(receiver.address, tmp_path, count=2)
        watching = asyncio.create_task(one.watch())
        await asyncio.sleep(0.3)
        await send(transmitter.address)
        await until(lambda: one.seen == 1)
        impatient = watcher(receiver.address, tmp_path, wait=False)
        gone = asyncio.create_task(impatient.watch())
        await asyncio.sleep(0.3)
    with pytest.raises(LinkError, match=receiver.address):
        await asyncio.wait_for(gone, 20)
    await asyncio.sleep(0.2)
    assert not watching.done()
    async with build(ReceiverSettings(listen=receiver.address, **settings)):
        told = ""

        def is_back() -> bool:
            nonlocal told
            told += capfd.readouterr().err
            return "back again" in told

        await until(is_back)
        await asyncio.sleep(0.3)
        await send(transmitter.address)
        await asyncio.wait_for(watching, 20)
    assert "waiting for it (--no-wait ends instead)" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001_pano_0000.png", "0001_pano_0000_2.png"]


@pytest.mark.slow
async def test_a_folder_that_cannot_be_written_to_is_told_for_each(
    start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    (tmp_path / "seen").write_text("in the way")
    one = watcher(receiver.address, tmp_path / "seen", count=2)
    watching = asyncio.create_task(one.watch())
    await asyncio.sleep(0.3)
    await send(transmitter.address, 2)
    await asyncio.wait_for(watching, 20)
    assert (one.seen, one.unwritten) == (0, 2)
    told = capfd.readouterr()
    assert told.err.count("/seen/") == 2
    assert [one["error"]["code"] for one in objects(told.out)] == ["UNKNOWN"] * 2


@pytest.mark.slow
async def test_a_video_of_what_is_received(start: Start, tmp_path: Path):
    """As a process: Ctrl-C ends it, and the video is whole."""
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    target, folder = tmp_path / "new" / "out.mp4", tmp_path / "seen"
    command = [
        *PANOLINK,
        "watch",
        receiver.address,
        "--video",
        str(target),
        "--fps",
        "10",
        "--out",
        str(folder),
        "--json",
    ]
    output = tmp_path / "told.jsonl"
    with output.open("w") as told_file:
        process = subprocess.Popen(command, stdout=told_file, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)

    def seen() -> int:
        return output.read_text().count("\n")

    try:
        for _ in range(40):  # until it watches
            await send(transmitter.address)
            await asyncio.sleep(0.25)
            if seen():
                break
        before = seen()
        await send(transmitter.address, 3)
        await until(lambda: seen() >= before + 3)
        process.send_signal(signal.SIGINT)
        _, told = await asyncio.to_thread(process.communicate, timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, told
    written = objects(output.read_text())
    assert f"{target}: {len(written)} panoramas" in told.replace("\n", "")
    frames = list(video_frames(target))
    assert len(frames) == len(written) and frames[0].sphere.heading == 90
    picture = load_panorama(written[-1]["path"]).astype(int)
    assert np.abs(frames[-1].array - picture).mean() < 12  # noise, through H.264
    assert [path.name for path in target.parent.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "--out"),
        (("--out", "x", "--fps", "5"), "--video"),
        (("--video", "out.avi"), ".mp4"),
        (("--out", "x", "--decoder", "mine.safetensors"), "mine.safetensors"),
        (("--out", "x", "--realism", "2"), "allowed is a number from 0"),
        (("--out", "x", "--realism", "0.5", "--decoder", "fidelity"), "give one of the two"),
    ],
)
def test_options_that_make_no_sense(panolink: Run, options: tuple[str, ...], why: str):
    result = panolink("watch", "127.0.0.1:1", *options)
    said = re.sub(r"[\s│╭╮╰╯─]+", " ", result.stderr)
    assert result.exit_code == 2 and why in said and "No such option" not in said


def test_a_video_that_exists_is_left(panolink: Run, tmp_path: Path, free_port: Callable[[], int], monkeypatch: Any):
    (tmp_path / "mine.mp4").write_bytes(b"the user's")
    line = one_line(panolink("watch", "127.0.0.1:1", "--video", tmp_path / "mine.mp4"))
    assert "mine.mp4: exists already; --overwrite replaces it" in line
    monkeypatch.setattr("panolink.cli.transfer.CONNECT_SECONDS", 0.2)
    place = f"127.0.0.1:{free_port()}"
    line = one_line(panolink("watch", place, "--video", tmp_path / "mine.mp4", "--overwrite"))
    assert f"nothing answers at {place}" in line
    assert (tmp_path / "mine.mp4").read_bytes() == b"the user's" and len(list(tmp_path.iterdir())) == 1


def received(number: int) -> ReceivedPanorama:
    numbers = {"number": number, "width": 64, "height": 32, "concealed": 0, "dropped": 0, "rounds": 1, "snr_db": None}
    file = encode_picture(PICTURE, PictureFormat.RGB8)
    return ReceivedPanorama(
        **numbers, burst_id="a", source="b.jpg", fingerprint="f", segments=Segments(3, 1), file=file
    )


@pytest.fixture
def receives(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Let commands watch a receiver that gives so many panoramas, and then does something."""

    def stub(count: int, then: Callable[[], None]) -> None:
        class Link:
            async def watch(self, **_: object) -> AsyncIterator[ReceivedPanorama]:
                for number in range(count):
                    yield received(1 + number)
                then()
                await asyncio.sleep(20)

        @asynccontextmanager
        async def connected(*_: object, **__: object) -> AsyncIterator[Link]:
            yield Link()

        monkeypatch.setattr("panolink.cli.watch.connected", connected)

    return stub


def turn_away() -> None:
    raise AccessError("receiver: the token is not accepted")


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGHUP, None])
def test_a_video_of_what_has_come_is_kept(
    panolink: Run, receives: Callable[..., None], tmp_path: Path, ended_by: signal.Signals | None
):
    """Also where the receiver turns the watch away, which it does not outlast; and where a signal ends it."""

    def not_taken(*_: object) -> None:
        raise AssertionError("the command does not take the signal")

    before = signal.signal(ended_by, not_taken) if ended_by else None
    try:
        receives(8, (lambda: os.kill(os.getpid(), ended_by)) if ended_by else turn_away)
        result = panolink("watch", "127.0.0.1:1", "--video", tmp_path / "walk.mp4", "--json")
        assert ended_by is None or signal.getsignal(ended_by) is not_taken
    finally:
        if ended_by:
            signal.signal(ended_by, before)
    assert result.exit_code == (0 if ended_by else 1), result.output
    assert ended_by or "the token is not accepted" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]
    assert len(list(video_frames(tmp_path / "walk.mp4"))) == 8


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGINT, signal.SIGHUP),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGINT),
    ],
)
def test_a_second_signal_does_not_keep_a_video_from_being_finished(
    panolink: Run,
    receives: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: signal.Signals,
    second: signal.Signals,
    within: bool,
):
    """As where the terminal is closed right after Ctrl-C: within what finishes the file, or before."""

    def close(video: SphericalVideo) -> None:
        if within:
            os.kill(os.getpid(), second)
        finish(video)

    def interrupt() -> None:
        os.kill(os.getpid(), first)
        if not within:
            os.kill(os.getpid(), second)

    finish = SphericalVideo.close
    monkeypatch.setattr(SphericalVideo, "close", close)
    before = {number: signal.getsignal(number) for number in (first, second)}
    receives(8, interrupt)
    result = panolink("watch", "127.0.0.1:1", "--video", tmp_path / "walk.mp4", "--json")
    assert result.exit_code == 0, result.output
    assert {number: signal.getsignal(number) for number in before} == before
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]
    assert len(list(video_frames(tmp_path / "walk.mp4"))) == 8


def test_a_video_that_cannot_be_finished_stays_under_its_temporary_name(
    panolink: Run, receives: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "walk.mp4")

    receives(2, turn_away)
    monkeypatch.setattr("panolink.images.spherical_video.SphericalVideo._mux", full)
    result = panolink("watch", "127.0.0.1:1", "--video", tmp_path / "walk.mp4", "--json")
    (left,) = tmp_path.iterdir()
    assert result.exit_code == 1 and "walk.mp4: No space left on device" in result.stderr
    assert f"{left}: has what came" in result.stderr.replace("\n", "") and left.name.startswith(".panolink-")


async def test_what_a_watch_has_written_it_does_not_replace(tmp_path: Path):
    """A receiver that has begun anew counts from 1 again."""
    (tmp_path / "0001_b.png").write_bytes(b"of a watch before")
    one = Watcher("127.0.0.1:1", tmp_path, 0, wait=False, overwrite=True, json=True)
    await one._take(received(1))
    await one._take(received(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001_b.png", "0001_b_2.png"]
    assert (tmp_path / "0001_b.png").read_bytes().startswith(b"\x89PNG")


def test_keys_of_json() -> None:
    from panolink.cli.watch import _json_values

    told = json.loads(json.dumps(_json_values(received(1), None, None)))
    assert list(told) == [
        *(
            "number",
            "source",
            "path",
            "error",
            "width",
            "height",
            "fingerprint",
            "snr_db",
            "segments",
            "concealed",
            "dropped",
        ),
        "rounds",
        "age_seconds",
        "realism",
    ]


@pytest.mark.slow
def test_a_second_signal_ends_a_watch_whose_output_nobody_reads():
    """The first is noticed between two panoramas, and a line that has no room is never done."""
    code = """
import asyncio, sys
from panolink.cli.watch import _FirstSignal
async def work():
    print("begins", file=sys.stderr, flush=True)
    while True:
        print("x" * 4000, flush=True)
        await asyncio.sleep(0)
with _FirstSignal() as signals:
    try:
        signals.run(work())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
"""
    unread, output = os.pipe()
    with subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr and run.stderr.readline() == "begins\n"
        time.sleep(0.5)  # until the pipe is full
        for number in (signal.SIGTERM, signal.SIGTERM):  # SIGINT may be ignored where tests run in the background
            run.send_signal(number)
            time.sleep(0.2)
        assert run.stderr.readline() == "interrupted\n"
    os.close(unread)
    os.close(output)
