import json

import pytest

from benchmarks.link.snr_tables import cliffs, half_lost_snr, merged, steepest, steepness, table


def point(snr_db: float, vpsnr_db: float, arrived: float = 1.0) -> dict:
    return {"snr_db": snr_db, "vpsnr_db": {"mean": vpsnr_db}, "arrived": arrived}


def test_tables_tell_where_a_design_has_lost_half_and_how_steep_curves_are(tmp_path):
    cliffed = [point(0, 12, 0.0), point(5, 13, 0.1), point(10, 26, 0.9), point(15, 28)]
    link = [point(0, 20), point(5, 22), point(10, 26), point(15, 27)]
    never = [point(snr, 28) for snr in (0, 5, 10, 15)]
    assert half_lost_snr(cliffed) == pytest.approx(7.5)
    assert half_lost_snr(never) is None and half_lost_snr([point(0, 9, 0.0), point(5, 9, 0.4)]) is None
    assert steepest(link, "vpsnr_db") == pytest.approx(0.8)
    senders = {
        "fixed": link,
        "adaptive": never,
        "analogue": link[::3],
        "webp 16qam 1/2": cliffed,
        "webp envelope": cliffed,
    }
    airs = {"awgn": {"0.1": senders}}
    assert cliffs(airs, "vpsnr_db").splitlines()[2:] == [
        "| awgn | 0.1 | webp 16qam 1/2 | 7.5 | 19.50 | 24.00 | 28.00 |"
    ]
    assert steepness(airs, "vpsnr_db").splitlines()[2:] == ["| awgn | 0.1 | 0.80 | 0.00 | 0.47 |"]
    rows = table(senders, "vpsnr_db").splitlines()
    assert rows[0] == "| VPSNR dB at SNR dB | fixed | adaptive | analogue | webp envelope |"
    assert rows[2] == "| 0 | 20.00 | 28.00 | 20.00 | 12.00 (0 %) |"
    assert rows[3] == "| 5 | 22.00 | 28.00 |  | 13.00 (10 %) |"
    parts = []
    for spp, name in (("0.1", "a"), ("0.2", "b"), ("0.1", "c")):
        parts.append(tmp_path / f"{name}.json")
        parts[-1].write_text(json.dumps({"measures": ["vpsnr_db"], "curves": {"awgn": {spp: {"fixed": name}}}}))
    assert merged(parts)["curves"] == {"awgn": {"0.1": {"fixed": "c"}, "0.2": {"fixed": "b"}}}
