import pytest

from benchmarks.link.snr_curves import Curves


def test_bands_come_from_panoramas_and_envelopes_from_designs():
    curves = Curves(["vpsnr_db"])
    for number, value in enumerate((20.0, 22.0, 27.0)):
        for snr in (0.0, 10.0):
            curves.add("awgn", 0.1, snr, number, "adaptive", {"vpsnr_db": value}, 1.0)
            curves.add("awgn", 0.1, snr, number, "jpeg qpsk 1/2", {"vpsnr_db": 18.0}, 1.0)
            curves.add("awgn", 0.1, snr, number, "jpeg 64qam 2/3", {"vpsnr_db": 11.0 + 2 * snr}, snr / 10)
    found = curves.summary()["awgn"]["0.1"]
    point = found["adaptive"][0]["vpsnr_db"]
    assert point["mean"] == pytest.approx(23) and point["low"] == pytest.approx(20) and point["high"] <= 27
    assert [p["scheme"] for p in found["jpeg envelope"]] == ["qpsk 1/2", "64qam 2/3"]
