"""Which decoders the page offers; what the viewer says on its WebSocket is scripted, message by message."""

import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.e2e.conftest import Service
from tests.e2e.viewer.conftest import wait

pytestmark = pytest.mark.slow

ENDS = ["fidelity", "perceptual"]


@pytest.fixture(scope="module")
def link(launch: Callable[..., Service]) -> Any:
    """Nothing but a viewer, which has the page's files."""
    nowhere = dict.fromkeys(("transmitter", "channel", "receiver"), "127.0.0.1:1")
    return SimpleNamespace(url=f"http://{launch('viewer', **nowhere).address}/")


class Viewer:
    """What a viewer says to one page."""

    def __init__(self, *decoders: str) -> None:
        self.requests: list[Any] = []
        self._decoders = decoders
        self._socket: Any = None

    def __call__(self, socket: Any) -> None:
        self._socket = socket
        socket.on_message(lambda message: self.requests.append(json.loads(message)))
        self.services()

    def services(self, *, receiver: bool = True) -> None:
        """Say which services are there."""
        model = {"name": "base", "fingerprint": "0" * 16, "profile": "base", "decoders": self._decoders}
        up = {"address": "127.0.0.1:1", "up": True, "version": "0", "device": "cpu", "models": [model]}
        down = {"address": "127.0.0.1:1", "up": False, "error": "it is gone"}
        here = {"transmitter": up, "channel": up, "receiver": up if receiver else down}
        self._say(type="services", services=here)

    def chosen(self, realism: float | None) -> None:
        """Say what somebody has chosen."""
        self._say(type="decoder", decoder="", realism=realism)

    def picture(self, realism: float | None) -> None:
        """Send a picture that was made by the decoder of a realism, or by one from a file."""
        jpeg = io.BytesIO()
        Image.new("RGB", (64, 32)).save(jpeg, "JPEG")
        segments = {"sent": {}, "lost": {}, "unsent": 0, "recovered": 0}
        header = {
            **{"type": "picture", "number": 1, "burst_id": "b-1", "source": "city #1", "width": 64, "height": 32},
            **{"snr_db": None, "guessed": 0, "rounds": 1, "segments": segments, "kinds": None, "focus": []},
            **{"decoder": "", "realism": realism, "age_seconds": None, "original": False, "token_bytes": 0},
        }
        text = json.dumps(header).encode()
        self._socket.send(len(text).to_bytes(4, "big") + text + jpeg.getvalue())

    def _say(self, **message: Any) -> None:
        self._socket.send(json.dumps(message))


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
