"""The page in a real browser, before real service processes."""

import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Service

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: the page is not tried out in a browser")

FLAGS = (
    *("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--disable-background-networking", "--disable-dev-shm-usage"),
)
WIDTH = 512
"""Of the panoramas that the tests send."""


@dataclass
class RunningLink:
    """The services, and how to start a receiver anew."""

    receiver: Service
    channel: Service
    transmitter: Service
    viewer: Service
    restart: Callable[[], None]

    @property
    def url(self) -> str:
        return f"http://{self.viewer.address}/"

    def state(self) -> Any:
        """What the viewer knows."""
        with urllib.request.urlopen(f"{self.url}api/state", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def link(launch: Callable[..., Service]) -> RunningLink:
    receiver = launch("receiver")
    channel = launch("channel", target=receiver.address, model="awgn", snr_db=12)
    transmitter = launch("transmitter", target=channel.address)
    viewer = launch("viewer", transmitter=transmitter.address, channel=channel.address, receiver=receiver.address)

    def restart() -> None:
        running.receiver = launch("receiver", listen=receiver.address)

    running = RunningLink(receiver, channel, transmitter, viewer, restart)
    return running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium (Debian's package chromium): the page is not tried out in a browser")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any, link: RunningLink) -> Iterator[Callable[..., Any]]:
    """`open_page(viewport=…)` opens the page, after `scripts`; what it logs as errors fails the test.

    `viewer` is told of the page's WebSocket, and speaks on it in place of the viewer.
    """
    contexts, errors = [], []

    def open_(scripts: Sequence[str] = (), viewer: Callable[[Any], None] | None = None, **options: Any) -> Any:
        context = browser.new_context(
            **({"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"} | options)
        )
        contexts.append(context)
        for script in scripts:
            context.add_init_script(script)
        page = context.new_page()
        if viewer:
            page.route_web_socket("**/ws", viewer)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(30_000)
        page.goto(link.url)
        wait(page, "document.querySelectorAll('#chain .up').length === 3")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not errors


def wait(page: Any, condition: str, seconds: float = 30.0) -> None:
    """Wait for a condition in JavaScript; `wait_for_function` is stopped by the page's content security policy."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {condition}"
        page.wait_for_timeout(100)


def choose_width(page: Any, width: int) -> None:
    """Choose the width at which panoramas are sent."""
    page.evaluate(f"document.querySelectorAll('#send select')[0].value = '{width}'")


def send_sample(page: Any, name: str) -> None:
    """Send a sample, and wait until it is on the sphere."""
    choose_width(page, WIDTH)
    page.click(f"[data-name={name}]")
    wait(page, f"document.getElementById('caption').textContent.includes('{name} #')")
    page.wait_for_timeout(200)


def pixels(page: Any) -> np.ndarray:
    """What the stage shows, uint8 (H, W, 3), without its middle's edges."""
    import io

    box = page.locator("#sphere").bounding_box()
    clip = {"x": box["x"] + 60, "y": box["y"] + 140, "width": box["width"] - 120, "height": box["height"] - 260}
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
