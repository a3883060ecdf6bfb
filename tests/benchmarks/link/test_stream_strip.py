import numpy as np

from benchmarks.link.stream_strip import CELL, LABEL, SHOWN, strip


def test_senders_stand_below_what_was_sent_and_time_goes_to_the_right():
    sent = [np.full((64, 128, 3), 8 * number, dtype=np.uint8) for number in range(SHOWN[-1] + 1)]
    sheet = strip(sent, {"black": [np.zeros_like(sent[0])] * len(SHOWN)}, yaw=30, pitch=-10, title="100 kbit/s")
    width, height = CELL
    assert sheet.size == (len(SHOWN) * width, 2 * (height + LABEL))
    middles = [sheet.getpixel((i * width + width // 2, LABEL + height // 2)) for i in range(len(SHOWN))]
    assert [pixel[0] for pixel in middles] == [8 * number for number in SHOWN]  # type: ignore[index]
    assert sheet.getpixel((width // 2, height + 2 * LABEL + height // 2)) == (0, 0, 0)
