"""The page when its viewer goes away, comes back, or lets it in no more; the viewer is scripted."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.viewer.conftest import until, wait
from tests.e2e.viewer.scripted import Viewer, link

__all__ = ["link"]

pytestmark = pytest.mark.slow

Open = Callable[..., Any]


def reconnected(page: Any, viewer: Viewer) -> None:
    """End the connection, and wait until the page has made another one."""
    before = viewer.connections
    viewer.hang_up()

    def again() -> bool:
        page.wait_for_timeout(50)  # in which the page is heard
        return viewer.connections > before

    until(again)
    wait(page, "document.querySelectorAll('#chain .up').length === 3")


def test_the_samples_that_were_chosen_are_shown_as_chosen(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    viewer.samples("city", "forest")
    page.click("[data-name=city]")
    reconnected(page, viewer)
    viewer.samples("city", "forest")
    viewer.conditions(3.5)
    wait(page, "document.getElementById('snr').value === '3.5'")  # so it has heard of the samples again
    assert page.get_attribute("[data-name=city]", "aria-pressed") == "true"
    assert page.evaluate("document.activeElement.dataset.name") == "city"
    viewer.samples("city", "studio")
    page.wait_for_selector("[data-name=studio]")
    assert page.get_attribute("[data-name=city]", "aria-pressed") == "true"
    viewer.samples("forest", "studio")
    page.wait_for_selector("[data-name=city]", state="detached")
    page.click("#stream")

    def sent() -> list[Any]:
        page.wait_for_timeout(50)  # in which the page is heard
        return [request["samples"] for request in viewer.requests if request["type"] == "send"]

    until(lambda: len(sent()) == 2)
    assert sent() == [["city"], ["forest", "studio"]]  # what is not there any more is not chosen either


def test_what_is_told_again_is_no_second_panorama_and_no_second_notice(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    viewer.picture()
    viewer.delivery("city #1", delivered=False, error="burst b-1: too late")
    page.wait_for_selector(".notice:has-text('too late')")
    page.click(".notice button")
    reconnected(page, viewer)
    viewer.picture()
    viewer.delivery("city #1", delivered=False, error="burst b-1: too late")
    viewer.picture(number=2, burst_id="b-2", source="city #2")
    wait(page, "document.querySelectorAll('#strip .number').length > 1")
    assert page.locator("#strip .number").all_inner_texts() == ["2", "1"]
    assert not page.locator(".notice").count()


def test_a_token_that_is_not_valid_any_more_is_asked_for(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    given: list[Any] = []

    def session(route: Any) -> None:
        if route.request.method == "GET":
            route.fulfill(json={"signed_in": False})
        elif not given:
            given.append(None)
            route.abort()  # just now, nobody answers
        else:
            given.append(json.loads(route.request.post_data)["token"])
            viewer.refusal = None
            route.fulfill(json={"signed_in": True})

    page.route("**/api/session", session)
    viewer.refusal = {}
    viewer.hang_up()
    page.wait_for_selector("#signin:visible")
    page.fill("#signin input", "another")
    page.click("#signin button")
    page.wait_for_selector("#signin:has-text('does not answer')")
    page.click("#signin button")
    page.wait_for_selector("#signin", state="hidden")
    assert given == [None, "another"]
    wait(page, "document.querySelectorAll('#chain .up').length === 3")


def test_a_viewer_that_is_full_is_told(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    viewer.refusal = {"code": 1013, "reason": "64 browsers look already"}
    viewer.hang_up()
    page.wait_for_selector("#empty:has-text('64 browsers look already')")
    viewer.refusal = None
    wait(page, "document.querySelectorAll('#chain .up').length === 3")
