"""The dashboards: fresh, provisioned, and every query of every panel answered by a Prometheus that watches a link."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from panolink.client import Client, LivePicture
from panolink.sphere.focus import Focus
from tests.deploy.watched import ROOT, Prometheus, rules, running, tool
from tests.e2e.conftest import launch, model  # noqa: F401 - fixtures

GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
PANELS = [
    (name, panel) for name, dashboard in DASHBOARDS.items() for panel in dashboard["panels"] if panel["type"] != "row"
]
QUERIES = [
    pytest.param(panel, target["expr"], id=f"{name}-{panel['title']}-{target['refId']}")
    for name, panel in PANELS
    for target in panel["targets"]
]
NOT_HERE = {
    "GPU": "an NVIDIA GPU and panolink[gpu]",
    **dict.fromkeys(("Browsers", "Pictures for browsers", "Gaze"), "the live viewer"),
}
"""Panels that have no data in this test, and what they need: nothing else may be without."""


def test_the_committed_dashboards_are_fresh() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="the dashboards' generator is not installed (panolink[dev])")
    from deploy.grafana.generate import main

    assert main(["--check"]) == 0


def test_panels_are_whole() -> None:
    assert DASHBOARDS.keys() == {"link", "latency", "hosts", "stream"}
    for dashboard in DASHBOARDS.values():
        titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] != "row"]
        assert len(set(titles)) == len(titles)
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        for one, other in itertools.combinations(places, 2):
            apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert apart or above, (one, other)
        assert all(place["x"] + place["w"] <= 24 for place in places)
    for _, panel in PANELS:
        assert panel["description"].endswith(".")
        assert panel["targets"]
        assert "$instance" in "".join(target["expr"] for target in panel["targets"])


def test_alerts_are_drawn_on_every_dashboard() -> None:
    names = {rule["alert"] for rule in rules("alerts.yml")}
    for dashboard in DASHBOARDS.values():
        (drawn,) = [one for one in dashboard["annotations"]["list"] if one["name"] == "Alerts"]
        pattern = re.fullmatch(r'ALERTS\{alertstate="firing",alertname=~"(.+)"\}', drawn["expr"])
        assert pattern and drawn["enable"] and all(re.fullmatch(pattern[1], name) for name in names)


def test_provisioning_fits_the_dashboards() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    used = {json.dumps(found) for dashboard in DASHBOARDS.values() for found in _datasources(dashboard)}
    assert used == {json.dumps({"type": source["type"], "uid": source["uid"]})}
    compose = yaml.safe_load(re.sub(r"!\w+", "", (ROOT / "docker-compose.yml").read_text()))["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/panolink.yml").read_text())["providers"]
    mounted = {line.split(":")[1] for line in compose["grafana"]["volumes"]}
    assert {provider["options"]["path"], "/etc/grafana/provisioning"} <= mounted


def test_panels_that_need_more_than_a_link_are_few_and_say_so() -> None:
    needy = {panel["title"]: panel["description"] for _, panel in PANELS if "Only with" in panel["description"]}
    assert needy.keys() == {"VPSNR", "Saved panoramas", *NOT_HERE}
    assert all(text.startswith("Only with ") for text in needy.values())
    for title, need in NOT_HERE.items():
        assert needy[title].startswith(f"Only with {need}.")


def _datasources(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "datasource" and value else _datasources(value)
    elif isinstance(node, list):
        for value in node:
            yield from _datasources(value)


async def _send_and_watch(transmitter: str, receiver: str, panoramas: list[Any]) -> None:
    """Panoramas over two streams, one that cannot be used, and a viewer."""

    async def one(named: list[Any]) -> list[Any]:
        async with Client(transmitter) as client:
            return [delivery async for delivery in client.send(named)]

    async def gazes() -> AsyncIterator[Focus]:
        yield Focus(30, 0)

    async def look() -> None:
        async with Client(receiver) as viewer:
            async for _ in viewer.watch(count=2, gazes=gazes()):
                pass

    async def stream() -> list[Any]:
        pictures = [
            (name, LivePicture(picture, time.time(), skipped=1)) for name, picture in [*panoramas, panoramas[0]]
        ]
        options: dict[str, Any] = {"stream": "camera", "follow_gaze": True, "frame_rate": 1.0}
        async with Client(transmitter) as client:
            return [delivery async for delivery in client.send(pictures, **options)]

    looking = asyncio.create_task(look())
    await asyncio.sleep(0.5)
    assert all(delivery.delivered for delivery in await stream())
    first, second = await asyncio.gather(one([*panoramas, ("text.png", b"no image")]), one(panoramas))
    assert [delivery.code for delivery in first + second if not delivery.delivered] == ["INVALID_ARGUMENT"]
    await asyncio.wait_for(looking, 30)


@pytest.fixture(scope="module")
def prometheus(
    launch: Callable[..., Any],  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the three services before, while and after panoramas went through them."""
    tool("prometheus")
    receiver = launch("receiver", save_folder=tmp_path_factory.mktemp("received"))
    channel = launch("channel", target=receiver.address, model="rayleigh", snr_db=8, seed=3)
    transmitter = launch("transmitter", target=channel.address, quality_share=1)
    services = (transmitter, channel, receiver)
    noise = np.random.default_rng(1).integers(0, 255, (8, 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with running(
        tmp_path_factory.mktemp("prometheus"), {f"panolink-{one.name}": one.metrics for one in services}
    ) as watching:
        watching.wait_for("count(up == 1) == 3")
        for times in (1, 2):  # a rate needs what was before: some series begin with the first panorama
            asyncio.run(_send_and_watch(transmitter.address, receiver.address, [("a", noise), ("b", noise)]))
            watching.wait_for(f"panolink_batch_size_count{{stage='decode'}} >= {4 * times}")
            watching.wait_for(f"panolink_vpsnr_db_count >= {times}")
            watching.wait_for(f"count(panolink_stage_seconds_count{{stage='queue'}} >= {4 * times}) == 2")
        for rule in (
            "job_instance:panolink_within_objective:ratio_rate5m",
            "job_instance_stage:panolink_stage_seconds:mean_rate5m",
        ):
            watching.wait_for(rule)
        yield watching


def plain(expression: str) -> str:
    """A panel's query with its variables filled in, as Grafana does."""
    filled = expression.replace("$__rate_interval", "1m").replace("$instance", ".+")
    assert "$" not in filled, filled
    return filled


@pytest.mark.long
@pytest.mark.parametrize(("panel", "expression"), QUERIES)
def test_every_query_of_every_panel_has_data(prometheus: Prometheus, panel: dict[str, Any], expression: str) -> None:
    if need := NOT_HERE.get(panel["title"]):
        assert prometheus.query(plain(expression)) == []
        pytest.skip(f"the panel {panel['title']!r} needs {need}")
    # Services are scraped, and rules evaluated, on clocks of their own: what one shows another shows a second later.
    series = prometheus.wait_for(plain(expression), seconds=15)
    assert all(one["value"][1] not in ("NaN", "+Inf", "-Inf") for one in series), series


@pytest.mark.slow
@pytest.mark.parametrize("record", [rule["record"] for rule in rules("recording.yml")])
def test_every_recording_rule_has_data(prometheus: Prometheus, record: str) -> None:
    assert prometheus.wait_for(record, seconds=15)


@pytest.mark.slow
def test_rules_run_without_errors_and_nothing_is_alarmed(prometheus: Prometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == len(rules("recording.yml")) + len(rules("alerts.yml"))
    assert [rule["name"] for rule in found if rule["health"] != "ok"] == []
    down = {"PanolinkReceiverDown", "PanolinkServiceDown", "PanolinkQueueFull", "PanolinkLinkBreaks"}
    alarmed = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
    assert not down & alarmed


@pytest.mark.slow
def test_the_dashboards_variable_has_the_instances(prometheus: Prometheus) -> None:
    for dashboard in DASHBOARDS.values():
        (variable,) = dashboard["templating"]["list"]
        selector = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert selector
        found = {one["metric"][selector[2]] for one in prometheus.query(selector[1])}
        assert len(found) == 3


@pytest.mark.slow
def test_a_stream_has_a_slot_and_no_more(prometheus: Prometheus) -> None:
    slots = {one["metric"]["slot"] for one in prometheus.query("panolink_stream_bytes_total")}
    assert slots == {"0", "1"}


@pytest.mark.slow
def test_what_is_missing_would_be_noticed(prometheus: Prometheus, tmp_path: Path) -> None:
    assert prometheus.query(plain('sum(rate(panolink_renamed_total{instance=~"$instance"}[$__rate_interval]))')) == []
