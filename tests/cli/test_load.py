"""Offered load, and what is told of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.helpers import objects


@pytest.mark.long
def test_a_link_under_load_is_measured(
    panolink: Callable[..., Result], link: dict[str, Any], small: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "load.png"
    options = ("--rate", 2, "--rate", 6, "--seconds", 1.5, "--streams", 3, "--width", 64, "--width", 128, "--queue", 60)
    result = panolink("load", small, "--to", link["transmitter"]["listen"], *options, "--plot", plot, "--json")
    assert result.exit_code == 0, result.output
    low, high = objects(result.stdout)
    assert (low["offered_per_second"], high["offered_per_second"]) == (2, 6)
    assert 0 < low["arrivals"] < high["arrivals"]
    for step in (low, high):
        assert step["answers"] == {"OK": step["arrivals"]} and step["unanswered"] == step["left_out"] == 0
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


@pytest.mark.slow
def test_recovery_from_overloads_is_measured(
    panolink: Callable[..., Result], link: dict[str, Any], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panolink.cli.load.BURST_SECONDS", 0.3)
    options = ("--rate", 20, "--bursts", 2, "--seconds", 1, "--streams", 2, "--width", 64, "--queue", 60, "--json")
    result = panolink("load", small, "--to", link["transmitter"]["listen"], *options)
    assert result.exit_code == 0, result.output
    steps = objects(result.stdout)
    assert [step["offered_per_second"] for step in steps] == [10, 30, 10, 30, 10]
    assert [step["seconds"] for step in steps] == [1, 0.3, 1, 0.3, 1]
    assert all(step["answers"] == {"OK": step["arrivals"]} for step in steps)
    before, first, _, second, _ = (step["recovery_seconds"] for step in steps)
    assert before is first is second is None


def test_what_the_link_carries_is_one_number(panolink: Callable[..., Result], small: Path) -> None:
    result = panolink("load", small, "--rate", 1, "--rate", 2, "--bursts", 1)
    assert result.exit_code == 2 and "what the link carries" in result.output
