"""What the client makes of panoramas before they are on their way; the rest runs in `services/test_link.py`."""

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.client import Client
from panolink.rpc.wire.deliveries import Delivery
from tests.images.pictures import encoded

GOOD = np.zeros((32, 64, 3), np.uint8)


class Transmitter:
    """In the place of `RetryingClient`: answers each panorama that it is given, without any service."""

    def __init__(self, *_: Any, failed: Any = None, **__: Any) -> None:
        self.failed = failed

    @classmethod
    def __class_getitem__(cls, _: Any) -> type["Transmitter"]:
        return cls

    async def send(self, _: str, item: Any, route: str = "") -> "asyncio.Future[str]":
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result(f"sent {item.header.source}")
        return future

    async def close(self) -> None:
        pass


async def test_one_bad_picture_among_good_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A Pillow image that has only been opened reads its file when it is sent."""
    for name in ("RetryingClient", "Replicas"):
        monkeypatch.setattr(f"panolink.client.{name}", Transmitter)
    client = Client("127.0.0.1:1")
    client._channel = object()  # type: ignore[assignment]
    file = encoded(np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8), "JPEG")
    truncated = Image.open(io.BytesIO(file[: len(file) // 2]))
    pictures = [("one", GOOD), ("bad", truncated), "a\0b.jpg", tmp_path / "absent.jpg", ("last", GOOD)]
    answers: list[Any] = [answer async for answer in client.send(pictures)]
    errors = {one.source: str(one.error) for one in answers if isinstance(one, Delivery)}
    assert [one for one in answers if isinstance(one, str)] == ["sent one", "sent last"]
    assert "truncated or damaged image" in errors["bad"] and "embedded null byte" in errors["a\0b.jpg"]
    assert len(errors) == 3 and "No such file" in errors[str(tmp_path / "absent.jpg")]
