import numpy as np
import pytest

from panolink.services.viewer import sent as module
from panolink.services.viewer.sender import IN_FLIGHT
from panolink.services.viewer.sent import MAX_SENT, SentPanoramas


def picture(number: int) -> np.ndarray:
    return np.full((2, 4, 3), number, np.uint8)


def test_the_last_ones_are_found_by_their_names() -> None:
    sent = SentPanoramas()
    assert MAX_SENT >= 16 + IN_FLIGHT  # as many as the page keeps
    for number in range(MAX_SENT + 2):
        sent.put(f"p{number}", picture(number))
    assert sent.find("p0") is sent.find("p1") is sent.find("another's") is None
    for number in range(2, MAX_SENT + 2):
        found = sent.find(f"p{number}")
        assert found and (found.picture == number).all() and found.activation is None


def test_memory_is_bounded_and_the_last_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SENT_BYTES", 2 * picture(0).nbytes)
    sent = SentPanoramas()
    for number in range(3):
        sent.put(f"p{number}", picture(number))
    assert not sent.find("p0") and sent.find("p1") and sent.find("p2")
    sent.put("large", np.zeros((20, 40, 3), np.uint8))
    assert not sent.find("p2") and sent.find("large")
