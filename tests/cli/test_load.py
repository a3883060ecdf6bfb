"""Offered load, and what is told of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from panolink.cli.load import Step
from tests.cli.helpers import objects


def test_percentiles_and_throughput() -> None:
    step = Step(offered=10, seconds=1, arrivals=102)
    step.latencies = [number / 100 for number in range(100, 0, -1)]
    step.codes["OK"], step.codes["UNAVAILABLE"] = 100, 1
    step.last_answer = step.start + 4
    step.last_arrival = step.start + 1
    told = step.as_dict()
    assert (told["p50_seconds"], told["p95_seconds"], told["p99_seconds"]) == (0.51, 0.96, 1.0)
    assert told["throughput_per_second"] == pytest.approx(25)
    assert told["unanswered"] == 1 and told["drain_seconds"] == pytest.approx(3)
    assert Step(1, 1).as_dict()["p50_seconds"] is None


@pytest.mark.long
def test_a_link_under_load_is_measured(
    panolink: Callable[..., Result], link: dict[str, Any], small: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "load.png"
    options = ("--rate", 2, "--rate", 6, "--seconds", 1.5, "--streams", 3, "--width", 64, "--width", 128)
    result = panolink("load", small, "--to", link["transmitter"]["listen"], *options, "--plot", plot, "--json")
    assert result.exit_code == 0, result.output
    low, high = objects(result.stdout)
    assert (low["offered_per_second"], high["offered_per_second"]) == (2, 6)
    assert 0 < low["arrivals"] < high["arrivals"]
    for step in (low, high):
        assert step["answers"] == {"OK": step["arrivals"]} and step["unanswered"] == 0
        assert 0 < step["p50_seconds"] <= step["p95_seconds"] <= step["p99_seconds"]
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_the_link_carries_is_found_first_where_no_load_is_given(
    panolink: Callable[..., Result], link: dict[str, Any], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panolink.cli.load.SHARES", (0.5,))
    result = panolink(
        "load", small, "--to", link["transmitter"]["listen"], "--seconds", 1, "--streams", 2, "--width", 64
    )
    assert result.exit_code == 0, result.output
    assert "offered/s" in result.output and "p99 ms" in result.output


@pytest.mark.slow
def test_nothing_delivered_is_exit_code_1(panolink: Callable[..., Result], link: dict[str, Any], small: Path) -> None:
    options = ("--rate", 5, "--seconds", 1, "--bpp", 0.00001, "--json")
    result = panolink("load", small, "--to", link["transmitter"]["listen"], *options)
    assert result.exit_code == 1
    (step,) = objects(result.stdout)
    assert step["answers"] == {"INVALID_ARGUMENT": step["arrivals"]} and step["p50_seconds"] is None
