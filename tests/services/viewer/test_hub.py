"""Fan-out: bounded mailboxes, the newest picture, the latest states."""

import asyncio
import json

import pytest

from panolink.services.viewer.gaze import Gaze
from panolink.services.viewer.hub import MAX_EVENTS, Hub
from panolink.services.viewer.metrics import ViewerMetrics


def hub() -> Hub:
    return Hub(ViewerMetrics())


async def test_a_new_browser_begins_with_the_latest_states_and_picture() -> None:
    made = hub()
    made.state("sending", name="a")
    made.state("sending", name="b")
    made.picture({"number": 1}, b"first")
    made.picture({"number": 2}, b"second")
    made.event("problem", text="gone by")
    made.event("delivery", source="1")
    made.event("delivery", source="2")
    state, picture, delivery = await made.join().get()
    assert isinstance(delivery, str) and json.loads(delivery) == {"type": "delivery", "source": "2"}
    assert isinstance(state, str) and json.loads(state) == {"type": "sending", "name": "b"}
    assert isinstance(picture, bytes) and picture.endswith(b"second")


async def test_the_newest_picture_wins_in_a_mailbox_that_nobody_reads() -> None:
    made = hub()
    mailbox = made.join()
    for number in range(100):
        made.picture({"number": number}, b"x")
        made.event("delivery", number=number)
    messages = await mailbox.get()
    pictures = [message for message in messages if isinstance(message, bytes)]
    events = [json.loads(message)["number"] for message in messages if isinstance(message, str)]
    assert len(pictures) == 1 and b'"number": 99' in pictures[0]
    assert events == list(range(100 - MAX_EVENTS, 100))


async def test_an_unchanged_state_is_not_sent_again() -> None:
    made = hub()
    mailbox = made.join()
    made.state("conditions", snr_db=3.0)
    assert len(await mailbox.get()) == 1
    made.state("conditions", snr_db=3.0)
    made.event("delivery")
    (only,) = await mailbox.get()
    assert isinstance(only, str) and json.loads(only)["type"] == "delivery"


async def test_who_has_left_gets_nothing_and_looks_nowhere() -> None:
    made = hub()
    mailbox = made.join()
    made.gazes.put(mailbox.number, Gaze.from_message({"yaw": 10, "pitch": 0, "fov": 90}))
    assert made.gazes.as_list()
    made.leave(mailbox)
    made.event("delivery")
    assert len(made) == 0 and made.gazes.as_list() == []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mailbox.get(), 0.05)


async def test_numbers_that_are_none_are_null_for_browsers() -> None:
    """They read no JSON with NaN in it: a service that tells one would have nothing shown any more."""
    made = hub()
    made.state("conditions", conditions={"snr_db": float("nan"), "model": "awgn"})
    made.picture({"type": "picture", "snr_db": float("-inf"), "focus": [{"yaw": float("nan")}]}, b"x")
    state, picture = await made.join().get()
    assert isinstance(state, str) and json.loads(state)["conditions"] == {"snr_db": None, "model": "awgn"}
    assert isinstance(picture, bytes) and b'"snr_db": null, "focus": [{"yaw": null}]' in picture
    assert made.snapshot()["conditions"]["conditions"]["snr_db"] is None
