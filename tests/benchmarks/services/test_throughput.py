"""What the report of a run is made of; the measurements themselves are `make bench`."""

import pytest

from benchmarks.services.throughput import ratios, shares

SECONDS = {"extract": 0.2, "quantize": 0.05, "pack": 0.02, "unpack": 0.03, "reconstruct": 0.3, "total": 0.6}
ALONE = {"latency_seconds": {"p50": 0.9}, "stage_seconds": {"encode": 0.4, "decode": 0.35, "queue": 0.1, "total": 0.88}}
SERVICES = {"received": {"stream": {"panoramas_per_second": 1.5}, "alone": ALONE}}


def test_shares_are_of_one_run():
    least = {"extract": 0.1, "quantize": 0.001}
    found = shares({"codec_seconds": SECONDS, "services": SERVICES}, least)
    assert found["outside_networks"] == pytest.approx(1 / 6, abs=1e-3)
    assert found["floor_share"] == {"extract": 0.5, "quantize": 0.02}
    assert found["services_over_codec"] == 0.9 and found["latency_over_stages"] == 1.2
    assert "services_over_codec" not in shares({"codec_seconds": SECONDS}, least)


def test_ratios_are_of_what_both_have():
    assert ratios({"a": 1.0, "b": {"c": 3.0, "new": 1.0}}, {"a": 2.0, "b": {"c": 2.0}}) == {"a": 0.5, "b": {"c": 1.5}}
    assert ratios({"a": 1.0}, {"a": 0.0}) == {"a": None}
