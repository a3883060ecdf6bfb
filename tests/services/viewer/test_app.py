"""The viewer with real services: pictures, uploads, the channel, and bad input."""

import asyncio
import io
import json
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed

from panolink.client import Client, ReceivedPanorama
from panolink.images import encode_png
from panolink.rpc.wire.deliveries import decode_grey
from panolink.services.viewer.app import MAX_UPLOADS
from panolink.services.viewer.server import ViewerServer
from tests.images.pictures import write_video
from tests.running_services import Start
from tests.services.viewer.browser import ask, message, page, request
from tests.services.viewer.conftest import NOBODY, StartViewer


def panorama() -> bytes:
    y, x = np.mgrid[0:64, 0:128]
    return encode_png(np.stack([2 * x, 4 * y, 255 - 2 * x], axis=-1).astype(np.uint8))


async def whole_link(start: Start, start_viewer: StartViewer, **settings: object) -> ViewerServer:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="ideal")
    transmitter = await start("transmitter", target=channel.address)
    return await start_viewer(
        transmitter=transmitter.address, channel=channel.address, receiver=receiver.address, **settings
    )


@pytest.mark.slow
async def test_an_upload_arrives_with_its_cost_and_quality(start: Start, start_viewer: StartViewer) -> None:
    viewer = await whole_link(start, start_viewer)
    async with page(viewer.address) as socket:
        while not (await message(socket, "services"))["services"].get("receiver", {}).get("up"):
            pass
        assert (await ask(viewer.address, "/api/upload?name=a%2Fb.png", panorama())) == (200, {"sending": "b.png"})
        found = {}
        while {"picture", "delivery", "quality"} - found.keys():
            received = await asyncio.wait_for(socket.recv(), 20)
            if isinstance(received, bytes):
                end = 4 + int.from_bytes(received[:4], "big")
                found["picture"] = json.loads(received[4:end])
                assert received[end : end + 2] == b"\xff\xd8"  # JPEG
                kinds = decode_grey(received[-found["picture"]["token_bytes"] :])
            else:
                found[json.loads(received)["type"]] = json.loads(received)
        picture, delivery = found["picture"], found["delivery"]
        assert picture["source"] == delivery["source"] == found["quality"]["source"]
        assert re.fullmatch(r"b\.png #[0-9a-f]{4}-1", picture["source"])
        assert picture["original"] and (picture["width"], picture["height"]) == (128, 64)
        assert sum(picture["kinds"].values()) == kinds.size == delivery["tokens"]
        assert picture["kinds"]["new_feature"] == delivery["kept"] and not picture["kinds"]["concealed"]
        assert picture["focus"] == [] and 0 <= picture["age_seconds"] < 20
        assert delivery["delivered"] and delivery["bpp"] > 0 and delivery["activation"]
        for what in ("sent", "activation"):
            assert (await request(viewer.address, f"/api/{what}?source={quote(picture['source'])}"))[0] == 200
        assert (await ask(viewer.address, "/api/sent?source=other"))[0] == 404


@pytest.mark.slow
async def test_a_loop_is_a_stream_that_is_fine_where_a_browser_looks(start: Start, start_viewer: StartViewer) -> None:
    viewer = await whole_link(start, start_viewer)
    async with page(viewer.address) as socket:
        while not (await message(socket, "services"))["services"].get("receiver", {}).get("up"):
            pass
        gaze = json.dumps({"type": "gaze", "yaw": 90, "pitch": -10, "fov": 60})
        options = {"repeat": True, "width": 128, "per_second": 20, "bpp": 0.4}
        await socket.send(json.dumps({"type": "send", "samples": ["city"], "options": options}))
        streams = []
        while not streams or not streams[-1]["focus"]:
            await socket.send(gaze)
            delivery = await message(socket, "delivery")
            assert delivery["delivered"]
            streams.append(delivery["stream"])
        (focus,) = streams[-1]["focus"]
        assert abs(focus["yaw"] - 90) < 1 and abs(focus["pitch"] + 10) < 1 and 55 < focus["width"] < 90
        await socket.send(json.dumps({"type": "stop"}))


@pytest.mark.slow
async def test_a_video_is_a_stream_and_a_picture_is_none(
    start: Start, start_viewer: StartViewer, tmp_path: Path
) -> None:
    viewer = await whole_link(start, start_viewer)
    write_video(tmp_path / "v.mp4", width=128, height=64, frames=2)
    async with page(viewer.address) as socket:
        for name, body, stream in (("v.mp4", (tmp_path / "v.mp4").read_bytes(), True), ("p.png", panorama(), False)):
            assert (await ask(viewer.address, f"/api/upload?name={name}", body))[0] == 200
            delivery = await message(socket, "delivery")
            assert delivery["delivered"] and bool(delivery["stream"]) is stream
            while (await message(socket, "sending"))["name"]:
                pass


async def test_a_decoder_is_chosen_for_what_comes_from_now_on(
    start: Start, start_viewer: StartViewer, darker: Path
) -> None:
    receiver = await start("receiver", decoder=str(darker))
    transmitter = await start("transmitter", target=receiver.address)
    viewer = await start_viewer(transmitter=transmitter.address, receiver=receiver.address)
    async with page(viewer.address) as socket, page(viewer.address) as other:
        while not (found := (await message(socket, "services"))["services"].get("receiver", {})).get("up"):
            pass
        assert found["models"][0]["decoders"] == ["fidelity"]
        brightness = {}
        for decoder, realism in (("fidelity", 0), ("", None)):
            await socket.send(json.dumps({"type": "decoder", "realism": realism}))
            while (told := await message(other, "decoder"))["realism"] != realism:
                pass  # all pages show what was chosen
            assert told["decoder"] == decoder
            await socket.send(json.dumps({"type": "send", "samples": ["city"], "options": {"width": 128}}))
            picture = await message(socket, "picture")
            assert (picture["decoder"], picture["realism"]) == (decoder, realism)
            brightness[decoder] = np.asarray(Image.open(io.BytesIO(picture["jpeg"]))).mean()
        assert brightness["fidelity"] > brightness[""] + 4
        assert (await ask(viewer.address, "/api/state"))[1]["services"]["services"]["receiver"]["up"]


async def test_the_slider_changes_the_channel_and_a_scenario_is_ended(start: Start, start_viewer: StartViewer) -> None:
    channel = await start("channel", target="127.0.0.1:1", snr_db=10)
    viewer = await start_viewer(channel=channel.address)
    async with page(viewer.address) as socket, Client(channel.address) as client:
        await socket.send(json.dumps({"type": "conditions", "changes": {"snr_db": 3.5, "model": "awgn"}}))
        while (await message(socket, "conditions"))["conditions"]["snr_db"] != 3.5:
            pass
        conditions = await client.conditions()
        assert (conditions.snr_db, conditions.model) == (3.5, "awgn")
        await socket.send(json.dumps({"type": "conditions", "scenario": "fade"}))
        assert (await message(socket, "conditions"))["conditions"]["scheduled"]
        await socket.send(json.dumps({"type": "conditions", "scenario": "off"}))
        assert not (await message(socket, "conditions"))["conditions"]["scheduled"]
        await socket.send(json.dumps({"type": "conditions", "changes": {"snr_db": 1e9}}))
        assert "snr_db" in (await message(socket, "refused"))["text"]


async def test_a_link_without_a_channel_has_nothing_to_change(start_viewer: StartViewer) -> None:
    viewer = await start_viewer(channel="off")
    async with page(viewer.address) as socket:
        assert not (await message(socket, "viewer"))["channel"]
        await socket.send(json.dumps({"type": "conditions", "changes": {"snr_db": 3}}))
        assert "no channel" in (await message(socket, "refused"))["text"]
        while (await message(socket, "services"))["services"].keys() != {"transmitter", "receiver"}:
            pass


async def test_a_channel_that_is_not_there_keeps_no_request_waiting(start_viewer: StartViewer) -> None:
    viewer = await start_viewer()
    async with page(viewer.address) as socket:
        while (await message(socket, "services"))["services"].get("channel", {}).get("up") is not False:
            pass
        for _ in range(20):  # of which each took two seconds, one after the other
            await socket.send(json.dumps({"type": "conditions", "changes": {"snr_db": 3}}))
        async with asyncio.timeout(20):
            for _ in range(20):
                assert NOBODY in (await message(socket, "refused"))["text"]


async def test_a_browser_too_many_is_told_why(start_viewer: StartViewer) -> None:
    viewer = await start_viewer(max_browsers=1)
    async with page(viewer.address) as socket:
        await message(socket, "viewer")
        async with page(viewer.address) as other:
            with pytest.raises(ConnectionClosed) as closed:
                await other.recv()
        assert closed.value.rcvd and closed.value.rcvd.code == 1013
        assert closed.value.rcvd.reason == "1 browsers look already, and no more are allowed"


async def test_samples_are_read_as_they_are_sent(start_viewer: StartViewer, tmp_path: Path) -> None:
    (tmp_path / "lamp.hdr").write_bytes(imagecodecs.rgbe_encode(np.full((32, 64, 3), 0.5, np.float32), header=True))
    (tmp_path / "broken.png").write_bytes(b"no image")
    viewer = await start_viewer(samples=tmp_path)
    status, _, jpeg = await request(viewer.address, "/api/samples/lamp")
    assert status == 200 and Image.open(io.BytesIO(jpeg)).size == (64, 32)
    status, answer = await ask(viewer.address, "/api/samples/broken")
    assert status == 415 and "broken.png" in answer["error"]


async def test_a_receiver_that_refuses_its_watcher_is_told_with_the_reason(
    start: Start, start_viewer: StartViewer
) -> None:
    channel = await start("channel", target=NOBODY)  # which answers, and cannot be watched
    viewer = await start_viewer(receiver=channel.address)
    found: dict[str, Any] = {}
    async with page(viewer.address) as socket, asyncio.timeout(20):
        while "another kind" not in found.get("error", ""):
            found = (await message(socket, "services"))["services"].get("receiver", {})
        assert not found["up"] and found["version"]


@pytest.mark.slow
async def test_a_missing_receiver_is_told_and_so_is_its_return(start: Start, start_viewer: StartViewer) -> None:
    receiver = await start("receiver")
    viewer = await start_viewer(receiver=receiver.address)
    async with page(viewer.address) as socket:
        while not (await message(socket, "services"))["services"].get("receiver", {}).get("up"):
            pass
        await receiver.drain()
        while (found := (await message(socket, "services"))["services"]["receiver"])["up"]:
            pass
        assert receiver.address in found["error"]
        await start("receiver", listen=receiver.address)
        while not (await message(socket, "services"))["services"]["receiver"]["up"]:
            pass


async def test_a_receiver_is_there_once_it_is_watched(
    start: Start, start_viewer: StartViewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent before that would reach a receiver whom nobody watches, and never be shown."""
    let, watch = asyncio.Event(), Client.watch

    async def late(self: Client, **options: Any) -> AsyncGenerator[ReceivedPanorama, None]:
        await let.wait()
        async for panorama in watch(self, **options):
            yield panorama

    monkeypatch.setattr(Client, "watch", late)
    receiver = await start("receiver")
    viewer = await start_viewer(receiver=receiver.address)
    async with page(viewer.address) as socket:
        while not (found := (await message(socket, "services"))["services"].get("receiver", {})).get("version"):
            pass
        assert not found["up"] and "not watched yet" in found["error"]
        let.set()
        while not (await message(socket, "services"))["services"]["receiver"]["up"]:
            pass


BAD = [
    "not JSON",
    "[]",
    "{}",
    '{"type": 5}',
    '{"type": "reboot"}',
    "[" * 4000,
    "x" * 5000,
    '{"type": "gaze", "yaw": 999, "pitch": 0, "fov": 90}',
    '{"type": "gaze", "yaw": NaN, "pitch": 0, "fov": 90}',
    '{"type": "send", "samples": ["../../etc/passwd"]}',
    '{"type": "send", "samples": [], "options": {}}',
    '{"type": "send", "samples": ["city"], "options": {"per_second": -1}}',
    '{"type": "send", "samples": ["city"], "options": {"width": 1%s}}' % ("0" * 400),
    '{"type": "send", "samples": ["city"], "options": {"per_second": 5e-324}}',
    '{"type": "gaze", "yaw": 1%s, "pitch": 0, "fov": 90}' % ("0" * 400),
    '{"type": "kill"}',
    '{"type": "decoder", "decoder": "blurred"}',
    '{"type": "decoder", "decoder": ["fidelity"]}',
    '{"type": "decoder", "realism": 2}',
    b"\x00\x01",
]


async def test_bad_messages_are_answered_and_disturb_nobody(start_viewer: StartViewer) -> None:
    viewer = await start_viewer()
    async with page(viewer.address) as socket, page(viewer.address) as other:
        for bad in BAD:
            await socket.send(bad)
            assert (await message(socket, "refused"))["text"]
        await other.send(json.dumps({"type": "gaze", "yaw": 30, "pitch": -10, "fov": 80}))
        while not (gazes := (await ask(viewer.address, "/api/state"))[1]["gazes"]):
            await asyncio.sleep(0.01)
    assert [gaze["yaw"] for gaze in gazes] == [30.0]


async def test_what_is_too_long_or_too_much_ends_the_connection(start_viewer: StartViewer) -> None:
    viewer = await start_viewer(max_browsers=2)
    async with page(viewer.address) as long, page(viewer.address) as many:
        with pytest.raises(ConnectionClosed):
            await long.send("x" * (1 << 17))
            while True:
                await long.recv()
        with pytest.raises(ConnectionClosed):
            for _ in range(1000):
                await many.send('{"type": "stop"}')
            while True:
                await many.recv()


async def test_uploads_that_cannot_be_sent_are_refused(start_viewer: StartViewer) -> None:
    viewer = await start_viewer(max_upload_bytes=1 << 16)
    for path, body, expected in (
        ("/api/upload?name=a.png", b"no image", 415),
        ("/api/upload?name=a.png", b"x" * (1 << 17), 413),
        ("/api/upload?name=a.png&options=5", b"x", 400),
        ("/api/upload?name=a.png&options={", b"x", 400),
        (f"/api/upload?name=a.png&options={'[' * 8000}", b"x", 400),
        (f"/api/upload?name=a.png&options=%7B%22tau%22:1{'0' * 400}%7D", b"x", 400),
    ):
        status, answer = await ask(viewer.address, path, body)
        assert (status, bool(answer["error"])) == (expected, True)
    assert (await ask(viewer.address, "/api/state"))[0] == 200


async def test_more_uploads_than_a_few_are_refused(start_viewer: StartViewer) -> None:
    """Each is a file on disk and a process."""
    viewer = await start_viewer()
    host, _, port = viewer.address.rpartition(":")
    lines = (*("POST /api/upload?name=a.png HTTP/1.1", f"Host: {viewer.address}", "Content-Length: 1000"), "", "x")
    writers = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(MAX_UPLOADS)]
    for writer in writers:
        writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(20):
        while (found := await ask(viewer.address, "/api/upload?name=b.png", b"no image"))[0] != 429:
            await asyncio.sleep(0.05)
        assert "being taken already" in found[1]["error"]
        for writer in writers:
            writer.close()
        while (await ask(viewer.address, "/api/upload?name=b.png", b"no image"))[0] != 415:
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_browser_that_never_reads_is_disconnected_and_delays_nobody(start_viewer: StartViewer) -> None:
    viewer = await start_viewer(send_timeout_seconds=0.5)
    jpeg = b"x" * (4 << 20)
    async with page(viewer.address, max_size=None) as reader:
        _, writer = await _deaf(viewer.address)
        while len(viewer.hub) < 2:
            await asyncio.sleep(0.01)
        for number in range(5):
            viewer.hub.picture({"type": "picture", "number": number}, jpeg)
            assert (await message(reader, "picture", 5))["number"] == number
        async with asyncio.timeout(10):
            while len(viewer.hub) > 1:
                await asyncio.sleep(0.05)
        writer.close()


async def _deaf(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket that is opened and never read."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    lines = (
        *("GET /ws HTTP/1.1", f"Host: {address}", "Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", ""),
    )
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    return reader, writer


@pytest.mark.slow
async def test_twenty_browsers_see_the_newest_picture(start_viewer: StartViewer) -> None:
    viewer = await start_viewer()
    pages = [await page(viewer.address) for _ in range(20)]
    try:
        for number in range(30):
            viewer.hub.picture({"type": "picture", "number": number}, b"x" * 100_000)
            await asyncio.sleep(0.01)
        for socket in pages:
            while (await message(socket, "picture"))["number"] != 29:
                pass
    finally:
        for socket in pages:
            await socket.close()


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PANOLINK_TOKEN_FILE", raising=False)
    yield
