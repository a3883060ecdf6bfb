"""Shows: one at a time, closed whatever ends them; names that no other viewer gives; samples of a folder."""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from panolink.images import Picture
from panolink.services.viewer.hub import Hub
from panolink.services.viewer.metrics import ViewerMetrics
from panolink.services.viewer.sender import Sender, Show, samples_in, show_of_samples, show_of_upload
from panolink.services.viewer.sent import SentPanoramas
from panolink.services.viewer.settings import ViewerSettings
from tests.services.viewer.conftest import NOBODY


class Shows:
    """Shows that never get further than to look for their transmitter, and which of them were closed."""

    def __init__(self) -> None:
        self.hub = Hub(ViewerMetrics())
        self.sender = Sender(ViewerSettings(transmitter=NOBODY), self.hub, SentPanoramas())
        self.closed: list[str] = []

    def show(self, name: str) -> Show:
        return Show(name, lambda _: iter(()), close=lambda: self.closed.append(name))

    @property
    def sending(self) -> str | None:
        return self.hub.snapshot()["sending"]["name"]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)


def running() -> int:
    """How many shows go on, whoever knows of them."""
    return sum(getattr(task.get_coro(), "__qualname__", "") == "Sender._run" for task in asyncio.all_tasks())


async def test_of_two_shows_at_once_one_is_left_and_can_be_stopped() -> None:
    shows = Shows()
    await shows.sender.play(shows.show("first"))
    await shows.until(lambda: shows.sending == "first")
    await asyncio.gather(shows.sender.play(shows.show("second")), shows.sender.play(shows.show("third")))
    await shows.until(lambda: shows.sending == "third")
    assert running() == 1
    await shows.sender.stop()
    assert running() == 0 and shows.sending is None
    assert shows.closed == ["first", "second", "third"]


async def test_a_show_is_closed_that_never_made_a_step_or_never_began() -> None:
    shows = Shows()
    await shows.sender.play(shows.show("first"))
    await shows.sender.stop()  # before its task has run
    assert shows.closed == ["first"]
    await shows.sender.play(shows.show("second"))
    await shows.until(lambda: shows.sending == "second")
    third = asyncio.create_task(shows.sender.play(shows.show("third")))
    await asyncio.sleep(0)
    third.cancel()  # its browser has left while the second one was still being stopped
    await asyncio.wait([third])
    await shows.sender.stop()
    assert sorted(shows.closed) == ["first", "second", "third"] and running() == 0


async def test_two_viewers_on_one_link_name_their_panoramas_apart() -> None:
    """The name is all by which a viewer tells that a panorama is one of its own."""
    picture = Picture(np.zeros((16, 32, 3), np.uint8))
    show = Show("city", lambda _: iter([("city", picture)]), interval=0.0, repeat=True)
    names = []
    for sender in (Shows().sender, Shows().sender):
        async with aclosing(sender._panoramas(show)) as panoramas:  # type: ignore[type-var]
            names += [(await anext(panoramas))[0] for _ in range(2)]
    assert len(set(names)) == 4 and all(name.startswith("city #") for name in names)


@pytest.mark.parametrize(("asked", "fps", "apart"), [(0.1, 5.0, 0.2), (0.5, 5.0, 0.5), (0.1, None, 0.1)])
def test_a_video_plays_in_its_own_time(tmp_path: Path, asked: float, fps: float | None, apart: float) -> None:
    """In as many bits a second, however many pictures those are for."""
    upload = SimpleNamespace(name="v.mp4", is_video=True, fps=fps, close=lambda: None)
    options = {"mean_bits": 1000 * asked}
    show = show_of_upload(upload, stream=True, interval=asked, options=options)  # type: ignore[arg-type]
    assert show.interval == pytest.approx(apart)
    assert show.options["mean_bits"] == pytest.approx(1000 * apart)


def test_no_sample_of_a_folder_hides_another(tmp_path: Path) -> None:
    for name in ("city.png", "city.webp", "forest.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert samples_in(tmp_path) == {
        name: tmp_path / file
        for name, file in (("city.png", "city.png"), ("city.webp", "city.webp"), ("forest", "forest.jpg"))
    }


async def test_a_sample_that_cannot_be_read_is_told_and_left_out(tmp_path: Path) -> None:
    for name in ("a", "c"):
        Image.new("RGB", (64, 32), "red").save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    shows, samples = Shows(), samples_in(tmp_path)
    mailbox = shows.hub.join()
    for names, expected in (("abc", ["a", "c", "a"]), ("b", [])):
        how = {"stream": False, "repeat": True, "interval": 1e-3, "options": {}, "width": None}
        show, sent = show_of_samples(samples, list(names), 1 << 20, **how), []
        async with aclosing(shows.sender._panoramas(show)) as panoramas:
            async for source, _ in panoramas:
                sent.append(source.split(" ")[0])
                if len(sent) == 3:
                    break
        assert sent == expected, "and where none can be read, it ends"
        messages = [json.loads(message) for message in await mailbox.get() if isinstance(message, str)]
        assert any("b.png: not an image" in one.get("text", "") for one in messages if one["type"] == "problem")
