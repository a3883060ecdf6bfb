from panolink.rpc.wire.stages import STAGES, in_order


def test_durations_are_sorted_by_stage_and_unknown_ones_come_last() -> None:
    seconds = {"zeta": 1.0, "total": 2.0, "alpha": 3.0, "decode_image": 4.0}
    assert list(in_order(seconds)) == ["decode_image", "total", "alpha", "zeta"]
    assert list(in_order(dict.fromkeys(reversed(STAGES), 0.0))) == list(STAGES)
