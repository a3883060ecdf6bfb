"""Which decoders the page offers; what the viewer says on its WebSocket is scripted, message by message."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.viewer.conftest import wait
from tests.e2e.viewer.scripted import Viewer, link

__all__ = ["link"]

pytestmark = pytest.mark.slow

ENDS = ["fidelity", "perceptual"]


def offered(page: Any) -> list[str]:
    return page.evaluate("[...document.getElementById('decoder').options].map((option) => option.value)")


def test_a_realism_that_is_no_quarter_is_an_entry_of_its_own(open_page: Callable[..., Any]) -> None:
    viewer = Viewer(*ENDS)
    page = open_page(viewer=viewer)
    assert offered(page) == ["", "fidelity", "0.25", "0.5", "0.75", "perceptual"]
    viewer.chosen(0.3)
    wait(page, "document.getElementById('decoder').value === '0.3'")
    viewer.services()
    viewer.picture(0.25)
    wait(page, "document.getElementById('caption').textContent.includes('realism 0.25')")  # so it has heard both
    assert page.input_value("#decoder") == "0.3"
    assert page.text_content("#decoder option:checked") == "Realism 0.3"
    assert offered(page) == ["", "fidelity", "0.25", "0.3", "0.5", "0.75", "perceptual"]
    page.select_option("#decoder", "0.5")
    viewer.chosen(0.5)
    wait(page, "document.getElementById('decoder').options.length === 6")
    assert page.input_value("#decoder") == "0.5"
    assert {"type": "decoder", "realism": 0.5} in viewer.requests


def test_a_receiver_with_a_decoder_from_a_file_leaves_a_choice(open_page: Callable[..., Any]) -> None:
    viewer = Viewer("fidelity")
    page = open_page(viewer=viewer)
    assert page.is_hidden("#decoder")
    viewer.picture(None)
    page.wait_for_selector("#decoder", state="visible")
    assert page.text_content("#decoder option:checked") == "as the receiver is set: a decoder from a file"
    assert offered(page) == ["", "fidelity"]
    assert page.is_hidden("text=The perceptual one")
    page.select_option("#decoder", "fidelity")
    viewer.chosen(0)
    viewer.services(receiver=False)
    wait(page, "document.getElementById('receive').hidden")
    viewer.services()
    page.wait_for_selector("#decoder", state="visible")
    assert page.input_value("#decoder") == "fidelity"
    page.select_option("#decoder", "")
    viewer.chosen(None)
    wait(page, "document.getElementById('receive').hidden")  # it has come back, and nobody knows yet with which decoder
    assert [request["realism"] for request in viewer.requests if request["type"] == "decoder"] == [0, None]


def test_a_model_with_one_decoder_leaves_no_choice(open_page: Callable[..., Any]) -> None:
    viewer = Viewer("fidelity")
    page = open_page(viewer=viewer)
    viewer.picture(0)
    wait(page, "document.getElementById('caption').textContent.includes('city #1')")
    assert page.is_hidden("#decoder")
