"""The page in Chromium: what it shows, what it changes, and what it says when something is missing."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from tests.e2e.conftest import ROOT
from tests.e2e.viewer.conftest import WIDTH, RunningLink, choose_width, pixels, send_sample, until, wait

pytestmark = pytest.mark.slow

Open = Callable[..., Any]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference."""
    return float(np.abs(one.astype(float) - other).mean())


def direction(page: Any) -> tuple[str, str]:
    """Yaw and pitch on the page."""
    data = page.evaluate("({...document.getElementById('sphere').dataset})")
    return data["yaw"], data["pitch"]


@pytest.mark.long
def test_a_new_panorama_is_shown_and_the_direction_stays(open_page: Open) -> None:
    page = open_page()
    send_sample(page, "city")
    first = pixels(page)
    assert first.std() > 15  # not blank
    page.focus("#sphere")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    wait(page, "document.getElementById('sphere').dataset.yaw === '12.0'")
    turned = pixels(page)
    assert difference(first, turned) > 3
    send_sample(page, "interior")
    assert difference(turned, pixels(page)) > 10
    assert direction(page) == ("12.0", "6.0")
    page.mouse.move(400, 400)
    page.mouse.down()
    page.mouse.move(500, 400)
    page.mouse.up()
    wait(page, "Number(document.getElementById('sphere').dataset.yaw) < 8")


def test_the_page_opens_with_a_stream_where_its_address_asks_for_one(open_page: Open, link: RunningLink) -> None:
    page = open_page()
    page.wait_for_timeout(500)
    assert link.state()["sending"]["name"] is None
    page.goto(link.url + "#stream")  # the page that is open already
    page.wait_for_selector("text=Sending city, forest, interior")
    page.click("text=Stop")
    until(lambda: link.state()["sending"]["name"] is None)
    page.reload()
    page.wait_for_selector("text=Sending city, forest, interior")
    page.click("text=Stop")
    until(lambda: link.state()["sending"]["name"] is None)
    page.wait_for_timeout(3000)  # it is asked for what it shows every other second
    assert link.state()["sending"]["name"] is None


@pytest.mark.long
def test_gaze_reaches_the_transmitter(open_page: Open, link: RunningLink) -> None:
    page = open_page()
    sent: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(frame)))
    page.reload()
    wait(page, "document.querySelectorAll('#chain .up').length === 3")
    page.focus("#sphere")
    for _ in range(15):
        page.keyboard.press("ArrowLeft")
    until(lambda: any(gaze["yaw"] == -90.0 for gaze in link.state()["gazes"]))
    choose_width(page, WIDTH)
    page.click("#stream")

    def looked_at() -> bool:
        page.wait_for_timeout(100)
        found = [json.loads(frame) for frame in sent if isinstance(frame, str) and '"delivery"' in frame]
        streams = [delivery["stream"] for delivery in found if delivery["stream"]]
        return any(abs(focus["yaw"] + 90) < 1 for stream in streams for focus in stream["focus"])

    until(looked_at)
    page.click("text=Stop")


def test_the_slider_changes_the_channel(open_page: Open, link: RunningLink) -> None:
    async def ask() -> float:
        async with Client(link.channel.address) as client:
            return (await client.conditions()).snr_db

    def snr() -> float:
        """Asked in a thread: Playwright has a loop in this one."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, ask()).result()

    page = open_page()
    page.fill("#snr", "4.5")
    until(lambda: snr() == 4.5)
    page.fill("#snr", "12")
    until(lambda: snr() == 12)


def test_an_upload_arrives_and_is_compared(open_page: Open, tmp_path: Path) -> None:
    from PIL import Image

    with Image.open(ROOT / "samples" / "studio.webp") as image:
        image.convert("RGB").resize((512, 256)).save(tmp_path / "mine.png")
    page = open_page()
    page.set_input_files("#file", tmp_path / "mine.png")
    wait(page, "document.getElementById('caption').textContent.includes('mine.png #')")
    page.wait_for_timeout(300)
    received = pixels(page)
    page.click("[data-mode=sent]")
    wait(page, "document.querySelector('[data-mode=sent]').ariaPressed === 'true'")
    page.wait_for_timeout(800)
    assert 0.3 < difference(received, pixels(page)) < 40
    page.click("[data-mode=compare]")
    page.wait_for_selector("#divider:visible")
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # the handle on the line
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    wait(page, "Math.abs(document.getElementById('divider').value - 0.25) < 0.05")
    (tmp_path / "not.png").write_bytes(b"no image")
    page.set_input_files("#file", tmp_path / "not.png")
    page.wait_for_selector(".notice:has-text('not.png')")
    with (tmp_path / "long.mp4").open("wb") as file:
        file.truncate(100 << 20)
    page.set_input_files("#file", tmp_path / "long.mp4")
    page.wait_for_selector(".notice:has-text('long.mp4 has 100 MiB; allowed are 64 MiB')")


@pytest.mark.long
def test_the_decoder_is_chosen_and_the_sample_sent_again(open_page: Open) -> None:
    page = open_page()
    send_sample(page, "interior")
    received = pixels(page)
    page.select_option("#decoder", "perceptual")
    wait(page, "document.getElementById('caption').textContent.includes('perceptual')")
    page.wait_for_timeout(300)
    assert difference(received, pixels(page)) > 0.3
    page.select_option("#decoder", "0.5")
    wait(page, "document.getElementById('caption').textContent.includes('realism 0.5')")
    page.select_option("#decoder", "fidelity")
    wait(page, "!/perceptual|realism/.test(document.getElementById('caption').textContent)")


@pytest.mark.long
def test_overlays_and_linked_views(open_page: Open) -> None:
    page = open_page()
    send_sample(page, "city")
    shown = {"none": pixels(page)}
    for overlay, text in (("tokens", "kept"), ("activation", "brighter"), ("focus", "No focus")):
        page.select_option("#overlay", overlay)
        wait(page, f"document.getElementById('legend').textContent.includes('{text}')")
        page.wait_for_timeout(500)
        shown[overlay] = pixels(page)
    assert difference(shown["none"], shown["tokens"]) > 10
    assert difference(shown["none"], shown["activation"]) > 10
    assert difference(shown["none"], shown["focus"]) < 1  # a single panorama has none, and the page says so
    page.select_option("#overlay", "none")
    page.click("[data-mode=beside]")
    page.wait_for_selector("#labels span:visible")
    page.wait_for_timeout(500)
    both = pixels(page)
    middle = both.shape[1] // 2
    left, right = both[:, : middle - 70], both[:, middle + 70 :]
    width = min(left.shape[1], right.shape[1])
    page.focus("#sphere")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    turned = pixels(page)
    assert difference(both[:, : middle - 70], turned[:, : middle - 70]) > 2  # both have turned
    assert difference(both[:, middle + 70 :], turned[:, middle + 70 :]) > 2
    assert difference(left[:, :width], right[:, -width:]) > 0.3


@pytest.mark.long
def test_a_stream_shows_where_it_is_fine_and_what_has_changed(open_page: Open) -> None:
    page = open_page()
    choose_width(page, WIDTH)
    page.locator("#send details").evaluate("(details) => details.open = true")
    page.select_option("#send select >> nth=2", "bpp:0.1")
    page.select_option("#send select >> nth=1", "5")
    page.click("[data-name=city]")  # which is sent, and is all that the stream has
    page.click("#stream")
    page.select_option("#overlay", "tokens")
    wait(page, "document.getElementById('legend').textContent.includes('unchanged')")
    page.select_option("#overlay", "focus")
    wait(page, "document.getElementById('legend').textContent.includes('inside the ring')")

    page.focus("#sphere")
    page.keyboard.press(" ")  # this picture stays, and its ring

    def ring_shows() -> bool:
        """The ring is around what was in view, and the wider the longer a gaze was on its way: turn to its edge."""
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.select_option("#overlay", "focus")
        page.wait_for_timeout(500)
        before = pixels(page)
        page.select_option("#overlay", "none")
        page.wait_for_timeout(500)
        page.focus("#sphere")
        return difference(before, pixels(page)) > 2

    until(ring_shows)
    values = dict(zip(*(page.locator(f".card {what}").all_inner_texts() for what in ("h3", ".value")), strict=True))
    assert float(values["Pictures a second"]) > 0.4
    assert values["Age"].endswith("s") and values["Tokens"].endswith("sent")
    page.click("text=Stop")


def test_numbers_are_shown_and_explained(open_page: Open) -> None:
    page = open_page()
    send_sample(page, "forest")
    unknown = "['–', 'not known'].includes(value.textContent)"
    wait(page, f"![...document.querySelectorAll('.card .value')].some((value) => {unknown})")
    assert not page.locator(".card .hint").first.is_visible()
    page.locator(".card").first.focus()
    assert page.locator(".card .hint").first.is_visible()


def test_a_phone_sees_all_of_it(open_page: Open) -> None:
    page = open_page(**PHONE)
    send_sample(page, "city")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert pixels(page).std() > 15
    for part in ("#stage", "#strip", "#send", "#channel", "#numbers"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_accessibility(open_page: Open, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(color_scheme=scheme)
    send_sample(page, "city")
    page.evaluate("document.querySelector('details').open = true")
    page.select_option("#overlay", "tokens")
    found = axe.run(page).response["violations"]
    serious = {
        (each["id"], node["html"][:100])
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    }
    assert not serious


@pytest.mark.long
def test_pictures_for_the_documentation(open_page: Open, tmp_path: Path) -> None:
    """With PANOLINK_WRITE_SCREENSHOTS=1, those of the README and the guide are made anew."""
    write = os.environ.get("PANOLINK_WRITE_SCREENSHOTS")
    folder = ROOT / "docs" / "images" if write else tmp_path
    for name, scheme, width in (
        ("viewer", "dark", 1024 if write else 512),
        ("viewer_compare", "light", 1024 if write else 512),
    ):
        page = open_page(color_scheme=scheme, viewport={"width": 1440, "height": 900})
        choose_width(page, width)
        for sample in ("city", "interior", "forest") if name == "viewer_compare" else ("forest", "interior", "city"):
            page.click(f"[data-name={sample}]")
            wait(page, f"document.getElementById('caption').textContent.includes('{sample} #')")
        if name == "viewer_compare":
            page.click("[data-mode=compare]")
            page.wait_for_selector("#divider:visible")
            page.evaluate("document.querySelector('.cards').scrollIntoView()")
        take(page, folder / f"{name}.jpg")
        assert (folder / f"{name}.jpg").stat().st_size > 50_000

    page = open_page(viewport={"width": 1440, "height": 900})
    choose_width(page, 1024 if write else 512)
    page.locator("#send details").evaluate("(details) => details.open = true")
    page.select_option("#send select >> nth=2", "bitrate:300000")
    page.select_option("#send select >> nth=1", "5")
    page.locator("#send details").evaluate("(details) => details.open = false")
    page.click("[data-name=city]")
    page.click("#stream")
    page.click("[data-mode=beside]")
    page.select_option("#overlay", "tokens")
    wait(page, "document.getElementById('legend').textContent.includes('refined')")
    page.evaluate("document.querySelector('.cards').scrollIntoView()")
    take(page, folder / "viewer_stream.jpg")
    page.click("text=Stop")


def take(page: Any, path: Path) -> None:
    """A screenshot of the page at rest, with nothing under the pointer."""
    page.mouse.move(5, 5)
    page.wait_for_timeout(1500)
    page.screenshot(path=path, type="jpeg", quality=88)


@pytest.mark.long
def test_a_receiver_that_is_killed_is_told_and_so_is_its_return(open_page: Open, link: RunningLink) -> None:
    page = open_page()
    send_sample(page, "city")
    address = link.receiver.address
    link.receiver.stop(signal.SIGKILL)
    page.wait_for_selector(f"#empty:has-text('No receiver answers at {address}')")
    link.restart()
    page.wait_for_selector("#empty", state="hidden")
    send_sample(page, "interior")
