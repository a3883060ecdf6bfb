"""A phone that is turned, and a headset, both as the browser can be made to believe in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.viewer.conftest import RunningLink, pixels, send_sample, until, wait

pytestmark = pytest.mark.slow

Open = Callable[..., Any]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
HEADSET = (Path(__file__).parent / "headset.js").read_text()


def looks(page: Any, yaw: float, pitch: float) -> None:
    """Wait until the page looks somewhere, in degrees."""
    data = "document.getElementById('sphere').dataset"
    wait(page, f"Math.abs({data}.yaw - {yaw}) < 0.3 && Math.abs({data}.pitch - {pitch}) < 0.3")


def test_a_phone_that_is_turned_turns_the_sphere(open_page: Open, link: RunningLink) -> None:
    page = open_page(**PHONE)
    session = page.context.new_cdp_session(page)

    def hold(alpha: float, beta: float, gamma: float) -> None:
        orientation = {"alpha": alpha, "beta": beta, "gamma": gamma}
        session.send("DeviceOrientation.setDeviceOrientationOverride", orientation)

    hold(0, 90, 0)  # upright, its back to the north
    page.click("#gyro")
    wait(page, "document.getElementById('gyro').ariaPressed === 'true'")
    hold(0, 100, 0)
    looks(page, 0, 10)  # which it did not before: what it turns from has arrived
    hold(0, 90, 0)
    looks(page, 0, 0)
    hold(330, 90, 0)
    looks(page, 30, 0)
    hold(330, 120, 0)
    looks(page, 30, 30)
    hold(60, 0, -90)  # on its side, its back where it was before
    looks(page, 30, 0)
    until(lambda: any(abs(gaze["yaw"] - 30) < 1 for gaze in link.state()["gazes"]))
    page.click("#gyro")
    hold(0, 90, 0)
    page.wait_for_timeout(300)
    looks(page, 30, 0)


def test_two_fingers_make_it_larger(open_page: Open) -> None:
    page = open_page(**PHONE)
    session = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 60), ("touchMove", 90), ("touchMove", 120)):
        points = [{"x": 195 + side * apart / 2, "y": 400, "id": 1 + (side > 0)} for side in (-1, 1)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait(page, "Math.abs(document.getElementById('sphere').dataset.fov - 105 / 2) < 6")
    looks(page, 0, 0)


def test_a_headset_is_entered_looks_around_and_is_left(open_page: Open, link: RunningLink) -> None:
    page = open_page(scripts=[HEADSET])
    send_sample(page, "city")
    page.focus("#sphere")
    for key in ("ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    looks(page, 12, 0)
    page.click("#vr")
    page.wait_for_selector("#vr:has-text('Leave VR')")
    looks(page, 12, 0)  # what was ahead is ahead
    page.evaluate("window.head = { yaw: 90, pitch: 20, height: 1.6 }")
    looks(page, 102, 20)
    until(lambda: any(abs(gaze["yaw"] - 102) < 1 for gaze in link.state()["gazes"]))
    shown = pixels(page)
    middle = shown.shape[1] // 2
    assert min(shown[:, :middle].std(), shown[:, middle:].std()) > 15  # there is something before each eye
    assert np.abs(shown[:, :middle].mean() - shown[:, middle : 2 * middle].mean()) < 10
    page.evaluate("window.headset.end()")
    page.wait_for_selector("#vr:has-text('Enter VR')")
    looks(page, 102, 20)


def test_a_headset_that_refuses_is_told(open_page: Open) -> None:
    page = open_page(scripts=[HEADSET, "navigator.xr.requestSession = async () => { throw new Error('it is busy'); };"])
    page.click("#vr")
    page.wait_for_selector(".notice:has-text('it is busy')")
