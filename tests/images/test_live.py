"""Live input: addresses, cameras that are not there, and the newest frame for whoever is slow."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from panolink.images import Failure, Panorama, panoramas_in
from panolink.images.live import Piped, is_live, live_frames, public_name
from tests.images.pictures import encoded, write_video
from tests.images.rtsp_server import RtspServer


@pytest.mark.parametrize("source", ["rtsp://host/live", "srt://host:9000", "/dev/video0", "UDP://239.0.0.1:1234"])
def test_live_sources(source: str):
    assert is_live(source)


@pytest.mark.parametrize("source", ["10:30:05.mp4", "rtsp:x.mp4", "/dev/video", "file://a.mp4", "a/b.ts", "-"])
def test_what_is_no_live_source(source: str):
    assert not is_live(source)


def test_passwords_stay_here():
    assert public_name("rtsp://user:secret@host:554/live?a=b@c") == "rtsp://host:554/live?a=b@c"
    assert public_name("tcp://host:1") == "tcp://host:1"


def transport_stream(folder: Path, frames: int = 12) -> bytes:
    def noise(i: int) -> np.ndarray:
        return np.random.default_rng(i).integers(0, 256, (64, 128, 3), np.uint8)

    write_video(folder / "live.ts", width=128, height=64, frames=frames, format="mpegts", picture=noise)
    return (folder / "live.ts").read_bytes()


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], str]]:
    """`serve(data)` sends it to the first who connects; its address."""
    listeners: list[socket.socket] = []

    def start(data: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def send() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(data)

        threading.Thread(target=send, daemon=True).start()
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


def test_a_stream_over_tcp(serve: Callable[[bytes], str], tmp_path: Path):
    address = serve(transport_stream(tmp_path))
    found = [item for item in panoramas_in([address]) if isinstance(item, Panorama)]
    assert found and found[0].name == f"{address}#0001" and found[0].array.shape == (64, 128, 3)


@pytest.mark.parametrize("name", ["short.mp4", "a.png"])
def test_files_of_a_web_server(name: str, tmp_path: Path):
    """A short file is over when it has been found out what it is."""
    write_video(tmp_path / "short.mp4", width=64, height=32, codec="libx264")
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((32, 64, 3), np.uint8)))
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = list(panoramas_in([f"http://127.0.0.1:{server.server_port}/{name}"]))
        server.shutdown()
    assert len(found) == (3 if name == "short.mp4" else 1)
    assert all(isinstance(item, Panorama) and item.array.shape == (32, 64, 3) for item in found)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_a_camera_over_rtsp(tmp_path: Path):
    with RtspServer(transport_stream(tmp_path)) as server:
        frames = live_frames(f"rtsp://user:secret@127.0.0.1:{server.port}/live")
        first = next(frames)
        frames.close()  # type: ignore[attr-defined]
    assert first.array.shape == (64, 128, 3)


def test_a_pipe(tmp_path: Path):
    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self.data.read(min(size, 1000) if size > 0 else size)

    found = list(panoramas_in(["-"], stdin=Pipe(transport_stream(tmp_path))))  # type: ignore[arg-type]
    assert [item.name for item in found] == [f"standard input#{number:04d}" for number in range(1, 13)]
    data = Piped(b"head", io.BytesIO(b"rest"))
    assert (data.read(2), data.read(), data.read()) == (b"he", b"adrest", b"")


def test_an_mp4_whose_index_is_at_its_end_needs_a_file(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (128, 256, 3), np.uint8)
    write_video(tmp_path / "walk.mp4", width=256, height=128, picture=lambda i: np.roll(noise, i))  # beyond one buffer
    data = (tmp_path / "walk.mp4").read_bytes()

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self.data.read(size)

    assert data.index(b"mdat") < data.index(b"moov")
    (found,) = panoramas_in(["-"], stdin=Pipe())  # type: ignore[arg-type]
    assert isinstance(found, Failure) and "not a readable video" in str(found.error)
    assert "-movflags +faststart" in str(found.error)


def test_what_cannot_be_reached_is_one_failure(free_port: Callable[[], int]):
    port = free_port()
    address = f"rtsp://admin:secret@127.0.0.1:{port}/live"
    found = list(panoramas_in([address, f"tcp://127.0.0.1:{port}", "/dev/video97", "srt://127.0.0.1:1"]))
    assert all(isinstance(item, Failure) for item in found)
    reached, _, camera, srt = (str(item.error) for item in found if isinstance(item, Failure))
    assert f"rtsp://127.0.0.1:{port}/live: not a readable video (Connection refused)" == reached
    assert "/dev/video97: no such file" in camera
    assert "srt" in srt and ("panolink send -" in srt or "not a readable video" in srt)
