"""A viewer whose words are scripted, message by message; the page's files come from a real one."""

import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.e2e.conftest import Service

ADDRESS = "127.0.0.1:1"


@pytest.fixture(scope="module")
def link(launch: Callable[..., Service]) -> Any:
    """Nothing but a viewer, which has the page's files."""
    nowhere = dict.fromkeys(("transmitter", "channel", "receiver"), ADDRESS)
    return SimpleNamespace(url=f"http://{launch('viewer', **nowhere).address}/")


class Viewer:
    """What a viewer says to one page.

    Attributes
    ----------
    requests
        What the page has asked for.
    connections
        How often the page has connected.
    refusal
        Arguments of `close` for pages that connect; None: they are let in.
    """

    def __init__(self, *decoders: str) -> None:
        self.requests: list[Any] = []
        self.connections = 0
        self.refusal: dict[str, Any] | None = None
        self._decoders = decoders
        self._socket: Any = None

    def __call__(self, socket: Any) -> None:
        self.connections += 1
        if self.refusal is not None:
            socket.close(**self.refusal)
            return
        self._socket = socket
        socket.on_message(lambda message: self.requests.append(json.loads(message)))
        self.services()

    def services(self, *, receiver: bool = True, **changes: Any) -> None:
        """Say which services are there; `changes` are those of the receiver."""
        model = {"name": "base", "fingerprint": "0" * 16, "profile": "base", "decoders": self._decoders}
        up = {"address": ADDRESS, "up": True, "version": "0", "device": "cpu", "models": [model]}
        down = {"address": ADDRESS, "up": False, "error": "it is gone"}
        here = {"transmitter": up, "channel": up, "receiver": (up if receiver else down) | changes}
        self.say(type="services", services=here)

    def samples(self, *names: str) -> None:
        """Say what samples there are."""
        self.say(type="viewer", version="0", samples=names, supervised=False, channel=True, max_upload_bytes=1 << 20)

    def conditions(self, snr_db: float) -> None:
        """Say what the channel's conditions are."""
        self.say(
            type="conditions",
            conditions={"model": "awgn", "snr_db": snr_db, "erasure_rate": 0.0, "scheduled": False},
        )

    def chosen(self, realism: float | None) -> None:
        """Say what somebody has chosen."""
        self.say(type="decoder", decoder="", realism=realism)

    def delivery(self, source: str, **changes: Any) -> None:
        """Say that a panorama was delivered."""
        values: dict[str, Any] = {
            **{"source": source, "delivered": True, "error": None, "activation": False, "stream": None},
            **{"bpp": 0.125, "bits": {"header": 80, "indices": 920}, "schemes": {}, "kept": 1, "tokens": 2},
            **{"symbols_per_pixel": 0.25, "seconds": {"total": 0.5, "encode": 0.25}},
        }
        self.say(type="delivery", **(values | changes))

    def picture(self, realism: float | None = 0, *, tokens: bytes = b"", **changes: Any) -> None:
        """Send a picture that was made by the decoder of a realism, or by one from a file."""
        jpeg = io.BytesIO()
        Image.new("RGB", (64, 32)).save(jpeg, "JPEG")
        segments = {"sent": {}, "lost": {}, "unsent": 0, "recovered": 0}
        header = {
            **{"type": "picture", "number": 1, "burst_id": "b-1", "source": "city #1", "width": 64, "height": 32},
            **{"snr_db": None, "concealed": 0, "rounds": 1, "segments": segments, "kinds": None, "focus": []},
            **{"decoder": "", "realism": realism, "age_seconds": None, "original": False},
            **changes,
            "token_bytes": len(tokens),
        }
        text = json.dumps(header).encode()
        self._socket.send(len(text).to_bytes(4, "big") + text + jpeg.getvalue() + tokens)

    def say(self, **message: Any) -> None:
        """Send a message."""
        self._socket.send(json.dumps(message))

    def hang_up(self) -> None:
        """End the connection."""
        self._socket.close()
