"""From sources to results, through services in this process."""

import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.cli.report import Result, Tally
from panolink.cli.transfer import Transfer, connected
from panolink.client import Client
from panolink.errors import LinkError
from panolink.images import Panorama, Reading, read_picture
from panolink.rpc.server.server import Server
from tests.images.pictures import CASES

Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def transmitter(start: Start) -> str:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="ideal")
    return (await start("transmitter", target=channel.address)).address


async def results(transfer: Transfer, address: str, sources: list[Any]) -> list[Result]:
    async with Client(address) as link:
        found = [result async for result, _ in transfer.send(link, sources)]
    assert transfer.under_way == []
    return sorted(found, key=lambda result: int(result.id))


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 64, 3), np.uint8))


@pytest.mark.slow
async def test_names_follow_the_order_of_sending(transmitter: str, tmp_path: Path):
    for number, name in enumerate(("pano.png", "pano.bmp", "sub/pano.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise(number).save(tmp_path / name)
    sources = [tmp_path / name for name in ("pano.bmp", "pano.png", "sub/pano.png")]
    for names in (("pano", "pano_2", "pano_3"), ("pano_4", "pano_5", "pano_6")):
        transfer = Transfer({"picture": True}, Reading(), tmp_path / "out")
        found = await results(transfer, transmitter, sources)
        wanted = [name.replace("pano", "pano_received") for name in names]
        assert [one.path.stem for one in found if one.path] == wanted
        assert [one.as_dict()["path"] for one in found] == [str(tmp_path / "out" / f"{name}.png") for name in wanted]
    transfer = Transfer({"picture": True}, Reading(), tmp_path / "out", overwrite=True)
    found = await results(transfer, transmitter, sources)
    assert [one.path.stem for one in found if one.path] == ["pano_received", "pano_received_2", "pano_received_3"]


@pytest.mark.slow
async def test_a_picture_that_cannot_be_written_is_one_failed_item(transmitter: str, tmp_path: Path):
    noise(0).save(tmp_path / "full.png")
    noise(1).save(tmp_path / "fine.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "full_received.png").symlink_to("/dev/full")
    transfer = Transfer({"picture": True}, Reading(), tmp_path / "out")
    full, fine, absent = await results(
        transfer, transmitter, [tmp_path / "full.png", tmp_path / "fine.png", tmp_path / "absent.png"]
    )
    assert (full.delivered, fine.delivered, absent.delivered) == (False, True, False)
    assert full.as_dict()["error"] == {
        "code": "RESOURCE_EXHAUSTED",
        "message": f"{tmp_path}/out/full_received.png: No space left on device",
    }
    assert absent.as_dict()["error"] == {
        "code": "INVALID_ARGUMENT",
        "message": f"{tmp_path}/absent.png: no such file",
    }
    assert list(full.as_dict()) == list(fine.as_dict()) == list(absent.as_dict())


@pytest.mark.slow
async def test_pose_and_crop_arrive(transmitter: str, tmp_path: Path):
    told: list[str] = []
    transfer = Transfer({"picture": True, "bpp": 0.4}, Reading(), tmp_path / "out", on_note=told.append)
    whole, crop = await results(transfer, transmitter, [CASES / "theta.jpg", CASES / "crop_strip.jpg"])
    assert whole.path and read_picture(whole.path).sphere.heading == 225
    assert crop.path and read_picture(crop.path).sphere.crop
    (note,) = told
    assert "crop_strip.jpg: a crop, 512×150" in note


@pytest.mark.slow
async def test_memory_stays_flat_however_long_a_video_is(transmitter: str, monkeypatch: pytest.MonkeyPatch):
    """Neither what was sent nor what was received outlives its answer: only what is under way is held."""
    frames, in_flight = 20, 4
    sent: list[weakref.ref[Any]] = []
    received: list[weakref.ref[Any]] = []

    def video(*_: Any, **__: Any) -> Iterator[Panorama]:
        for number in range(frames):
            picture = np.full((32, 64, 3), number, np.uint8)
            sent.append(weakref.ref(picture))
            yield Panorama(f"long.mp4#{number:04d}", picture)

    def alive(pictures: list[weakref.ref[Any]]) -> int:
        return sum(picture() is not None for picture in pictures)

    monkeypatch.setattr("panolink.images.panoramas_in", video)
    tally = Tally()
    async with Client(transmitter, in_flight=in_flight) as link:
        async for result, _ in Transfer({"picture": True, "tau": 0.0}, Reading()).send(link, ["long.mp4"]):
            assert result.delivery is not None
            received.append(weakref.ref(result.delivery.picture))
            tally.add(result)
            assert alive(sent) <= in_flight + 3 and alive(received) <= in_flight + 1
    del result, _
    gc.collect()
    assert tally.delivered == frames and alive(sent) == alive(received) == 0


@pytest.mark.slow
async def test_nobody_there(free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("panolink.cli.transfer.CONNECT_SECONDS", 0.2)
    with pytest.raises(LinkError, match=r"nothing answers at 127.0.0.1:\d+ \(waited 0.2 s\); start it"):
        async with connected(f"127.0.0.1:{free_port()}"):
            pass
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(LinkError, match=r"through the proxy of http_proxy; no_proxy=192.0.2.1 goes around it"):
        async with connected("192.0.2.1:50051"):
            pass


async def test_a_proxy_is_not_asked_for_this_host(transmitter: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with connected(transmitter) as link:
        assert (await link.info()).service == "transmitter"
