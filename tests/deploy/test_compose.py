"""The images and compose files on a real engine: panoramas cross real containers, one of which is killed."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from panolink.client import Client
from panolink.images import load_panorama
from panolink.metrics.viewport import vpsnr
from panolink.rpc.wire.deliveries import Delivery
from tests.deploy.stack import IMAGES, SERVICES, Stack, eventually, free_ports
from tests.services.viewer.browser import message, page, request

# Images may have to be built first.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def stack(engine: Any, settings: dict[str, object]) -> Iterator[Stack]:
    """All but Grafana, healthy."""
    one = Stack(engine, "panolink-test", settings | free_ports())
    watching = ("prometheus",) if settings["PROMETHEUS_TAG"] else ()
    try:
        one.up(*IMAGES, *watching)
        yield one
    finally:
        one.down()


def transmitter(stack: Stack) -> str:
    return f"127.0.0.1:{stack.settings['TRANSMITTER_PORT']}"


async def sent(stack: Stack, panoramas: Any, **options: Any) -> list[Delivery]:
    async with Client(transmitter(stack), connect_timeout=30) as client:
        return [delivery async for delivery in client.send(panoramas, **options)]


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_is_small_and_holds_no_tools(stack: Stack, service: str) -> None:
    image = stack.container(service).image
    assert image.attrs["Size"] < (1.6e9 if service != "channel" else 0.5e9)
    assert image.attrs["Config"]["User"].partition(":")[0] not in ("", "0", "root")
    assert image.attrs["Config"]["Cmd"] == ["python", "-m", f"panolink.services.{service}"]
    search = "for tool in cc gcc g++ make git curl pip pip3; do command -v $tool; done; true"
    assert stack.run(service, "sh", "-c", search) == ""


def test_a_service_may_write_nothing_but_what_is_meant_for_it(stack: Stack) -> None:
    write = "touch /opt/panolink/x /var/x /home/x 2>/dev/null; ls /opt/panolink/x /var/x /home/x 2>/dev/null; id -u"
    for service in IMAGES:
        assert stack.run(service, "sh", "-c", write).split() == ["10001"]
        given = stack.container(service).attrs["HostConfig"]
        assert given["CapDrop"] == ["ALL"]
        assert given["ReadonlyRootfs"]  # whatever the user may


def test_torch_is_for_cpus_and_kernels_are_there(stack: Stack) -> None:
    assert stack.run("receiver", "python", "-c", "import torch; print(torch.version.cuda)").strip() == "None"
    for package in ("panolink.phy", "panolink.codec"):
        log = stack.run("receiver", "env", "NUMBA_DEBUG_CACHE=1", "python", "-m", package)
        assert "data loaded" in log
        assert "saved" not in log


def test_a_channel_has_no_networks(stack: Stack) -> None:
    find = "import importlib.util as u; print([n for n in ('torch', 'numba', 'scipy') if u.find_spec(n)])"
    assert stack.run("channel", "python", "-c", find).strip() == "[]"


async def test_a_panorama_crosses_the_containers(stack: Stack, samples: list[Path]) -> None:
    async with Client(f"127.0.0.1:{stack.settings['CHANNEL_PORT']}") as control:
        await control.set_conditions(snr_db=20)
    (delivery,) = await sent(stack, [samples[0]])
    assert delivery.delivered, delivery
    assert delivery.picture is not None
    assert vpsnr(load_panorama(samples[0]), delivery.picture) > 20
    kept = eventually(lambda: stack.run("receiver", "ls", "/var/lib/panolink"))
    assert kept.strip().endswith(f"_{samples[0].stem}.png")


async def test_the_page_shows_what_arrives(stack: Stack) -> None:
    address = f"127.0.0.1:{stack.settings['VIEWER_PORT']}"
    status, headers, content = await request(address, "/")
    assert (status, b'src="./assets/viewer.js"' in content) == (200, True)
    assert "default-src 'self'" in headers["content-security-policy"]
    assert b"MIT" in (await request(address, "/LICENSES.txt"))[2]
    async with page(address) as socket:
        services: dict[str, Any] = {}
        while not (services.keys() == set(SERVICES) and all(one["up"] for one in services.values())):
            services = (await message(socket, "services", 60))["services"]
        await socket.send(json.dumps({"type": "send", "samples": ["city"], "options": {"width": 512}}))
        while not (shown := await message(socket, "picture", 60))["source"].startswith("city #"):
            pass  # what others have sent
        with Image.open(io.BytesIO(shown["jpeg"])) as picture:
            assert picture.size == (512, 256)


def test_prometheus_has_scraped_them(stack: Stack) -> None:
    if not stack.settings["PROMETHEUS_TAG"]:
        pytest.skip("no image of Prometheus can be had on this machine")

    def value(expression: str) -> float:
        return sum(float(sample["value"][1]) for sample in stack.query(expression))

    assert eventually(lambda: value("sum(panolink_panoramas_total) > 1"))
    assert eventually(lambda: value('count(panolink_in_flight{job!="panolink-viewer"})') == len(SERVICES))
    assert eventually(lambda: value('panolink_viewer_pictures_total{job="panolink-viewer"}') >= 1)
    assert eventually(lambda: value('sum(panolink_saved_total{outcome="written"})') >= 1)


async def test_a_receiver_that_is_killed_comes_back_and_nothing_is_left_open(stack: Stack, samples: list[Path]) -> None:
    count, got = 24, list[Delivery]()
    images = [sample.read_bytes() for sample in samples[:2]]
    killed: asyncio.Future[None] | None = None
    async with Client(transmitter(stack)) as client:
        async for delivery in client.send(((f"p{n}", images[n % 2]) for n in range(count)), picture=False):
            got.append(delivery)
            if len(got) == 4:
                killed = asyncio.ensure_future(asyncio.to_thread(stack.crash, "receiver"))
    assert killed
    await killed
    assert Counter(delivery.source for delivery in got) == Counter(f"p{n}" for n in range(count))
    assert {delivery.code for delivery in got if not delivery.delivered} <= {"UNAVAILABLE"}
    assert eventually(lambda: stack.health("receiver") == "healthy")
    assert stack.container("receiver").attrs["RestartCount"] == 1
    (again,) = await sent(stack, [samples[0]], picture=False)
    assert again.delivered, again


async def test_a_transmitter_that_is_stopped_finishes_what_is_under_way(stack: Stack, samples: list[Path]) -> None:
    got: list[Delivery] = []
    image = samples[0].read_bytes()
    stopping: asyncio.Future[str] | None = None
    async with Client(transmitter(stack), reconnect_timeout=1) as client:
        async for delivery in client.send(((f"p{n}", image) for n in range(12)), picture=False):
            got.append(delivery)
            if len(got) == 1:
                stopping = asyncio.ensure_future(asyncio.to_thread(stack.compose, "stop", "transmitter"))
    assert stopping
    await stopping
    assert Counter(delivery.source for delivery in got) == Counter(f"p{n}" for n in range(12))
    assert got[0].delivered
    assert stack.container("transmitter").attrs["State"]["ExitCode"] == 0
    stack.up("transmitter")
    (again,) = await sent(stack, [samples[0]], picture=False)
    assert again.delivered, again
