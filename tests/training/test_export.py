from pathlib import Path

import numpy as np
import pytest

from panolink.training import export
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.export import views

COPIES = 8
"""of each panorama, for the models that ship"""


SAMPLES = Path(__file__).parent.parent.parent / "samples"


@pytest.mark.slow
def test_copies_are_panoramas_turned_and_mirrored(cache: PanoramaCache):
    found = list(views(cache, [0, 1, 2], COPIES))
    assert len(found) == 3 * COPIES
    assert all(TrainingConfig.load(name).copies == COPIES for name in ("base", "paper"))
    mirrored = 0
    for number, view in enumerate(found):
        panorama = cache.panorama(number % 3)  # narrower than any of the widths, so that it is not resized
        if number < 3:
            np.testing.assert_array_equal(view, panorama)
            continue
        turns = [np.roll(panorama, turn, axis=1) for turn in range(panorama.shape[1])]
        plain, mirror = (any(np.array_equal(turn[:, ::way], view) for turn in turns) for way in (1, -1))
        assert plain or mirror
        mirrored += mirror
    assert 3 <= mirrored <= 3 * (COPIES - 1) - 3


def test_copies_come_at_other_widths(cache: PanoramaCache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export, "WIDTHS", (128, 64, 96, 32))
    widths = [view.shape[1] for view in views(cache, [0, 1], 4)]
    assert widths == [128, 64, 64, 96, 96, 32, 32, 128]
