"""What Prometheus is told: scraping, rules, alerts; by promtool where there is one, and against our own metrics."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from panolink.rpc.observability.device_metrics import measure_device
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.services.channel.servicer import ChannelMetrics
from panolink.services.receiver.metrics import ReceiverMetrics
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.viewer.metrics import ViewerMetrics
from tests.deploy.watched import CONFIG, PROMETHEUS, ROOT, rules, tool

OPTIONAL = {
    "panolink_gpu_utilization_ratio",  # where there is a GPU
    "panolink_saved_total",  # with a folder to save into
    "panolink_saved_bytes",
    "panolink_certificate_expiry_timestamp_seconds",  # with TLS
}
"""Measured only by some services."""
KINDS: tuple[type[ServiceMetrics], ...] = (TransmitterMetrics, ChannelMetrics, ReceiverMetrics, ViewerMetrics)
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.test.yml"))


def promtool(*arguments: object) -> None:
    ended = subprocess.run([tool("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool("check", "config", CONFIG)


@pytest.mark.slow
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.name)
def test_promtool_runs_the_unit_tests(path: Path) -> None:
    promtool("test", "rules", path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("alerts.yml", '{job="panolink-transmitter"} > 0.05', '{job="panolink-transmitter"} > 0.01'),
        ("alerts.yml", "for: 30s", "for: 10m"),
        ("alerts.yml", "< 3\n", "< 30\n"),
        ("alerts.yml", 'queue!="watch"', 'queue!="none"'),
        ("alerts.yml", "< 0.95", "< 0.5"),
        ("alerts.yml", "14 * 86400", "13 * 86400"),
        ("recording.yml", "histogram_quantile(0.95", "histogram_quantile(0.9"),
        ("recording.yml", '{le="2.5"}', '{le="0.5"}'),
        ("recording.yml", "(panolink_queue_limit > 0)", "panolink_queue_limit"),
        ("recording.yml", "1 - sum by", "sum by"),
    ],
)
def test_the_unit_tests_notice_a_wrong_rule(tmp_path: Path, file: str, old: str, new: str) -> None:
    for folder in ("rules", "tests"):
        (tmp_path / folder).mkdir()
        for path in (PROMETHEUS / folder).glob("*.yml"):
            text = path.read_text()
            if path.name == file:
                assert text.count(old) >= 1
                text = text.replace(old, new, 1)
            (tmp_path / folder / path.name).write_text(text)
    test = {"alerts.yml": "alerts.test.yml", "recording.yml": "recording.test.yml"}[file]
    command = [tool("promtool"), "test", "rules", str(tmp_path / "tests" / test)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "FAILED" in ended.stdout + ended.stderr


def test_every_rule_and_alert_has_a_unit_test() -> None:
    cases = [case for path in UNIT_TESTS for case in yaml.safe_load(path.read_text())["tests"]]
    asked = " ".join(one["expr"] for case in cases for one in case.get("promql_expr_test", ()))
    fired = {one["alertname"] for case in cases for one in case.get("alert_rule_test", ()) if one["exp_alerts"]}
    assert [rule["record"] for rule in rules("recording.yml") if rule["record"] not in asked] == []
    assert {rule["alert"] for rule in rules("alerts.yml")} == fired


def test_every_alert_says_what_it_means() -> None:
    for rule in rules("alerts.yml"):
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["alert"] in (ROOT / "docs" / "deploy.md").read_text()


def measured() -> set[str]:
    """All that the services, and Prometheus itself, measure."""
    names = {"up", *OPTIONAL}
    for kind in KINDS:
        for metric in kind().registry.collect():
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
            names |= {metric.name + ending for ending in endings}
    return names


def test_rules_ask_only_for_what_is_measured() -> None:
    known = measured() | {rule["record"] for rule in rules("recording.yml")}
    for rule in rules("recording.yml") + rules("alerts.yml"):
        asked = set(re.findall(r"\b(?:panolink|process|up|job_instance)[a-z0-9_:]*(?=\{|\[|\s|$|\))", rule["expr"]))
        assert asked, rule
        assert asked <= known, rule


def test_metrics_keep_to_the_conventions() -> None:
    allowed = {"layer", "code", "kind", "queue", "stage", "slot", "name", "fingerprint", "profile", "device", "version"}
    allowed |= {"state", "reason", "scheme", "outcome", "at", "coded"}
    for kind in KINDS:
        for metric in kind().registry.collect():
            if metric.name.startswith("panolink_"):
                assert metric.documentation.endswith(".")
                assert {label for sample in metric.samples for label in sample.labels} <= allowed | {"le"}
                assert not re.search(r"_(ms|milliseconds|kb|mb|percent)$", metric.name)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_promtool_finds_nothing_to_complain_of(kind: type[ServiceMetrics]) -> None:
    metrics = kind()
    metrics.watch_certificate(lambda: None)
    measure_device("cpu", metrics)
    for metric in vars(metrics).values():
        if names := getattr(metric, "_labelnames", ()):
            metric.labels(*("x" for _ in names))  # without a series a metric is not exported
    exported = generate_latest(metrics.registry)
    ended = subprocess.run([tool("promtool"), "check", "metrics"], input=exported, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_every_metric_is_shown_or_watched() -> None:
    dashboards = " ".join(path.read_text() for path in (ROOT / "deploy/grafana/dashboards").glob("*.json"))
    dashboards += (PROMETHEUS / "rules" / "alerts.yml").read_text()
    shown = [rule["expr"] for rule in rules("recording.yml") if rule["record"] in dashboards]
    text = " ".join([dashboards, *shown])
    ours = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in measured() if name != "up"}
    unseen = {name for name in ours if not re.search(rf"\b{name}(_total|_bucket|_sum|_count)?\b", text)}
    assert unseen == {"process_virtual_memory_bytes"}  # which the client library brings along


def test_the_protocol_page_lists_every_metric() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    for name in measured():
        if name.startswith("panolink_"):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert f"`{plain}`" in page, f"{plain} is not in the table of docs/protocol.md"


def test_what_is_scraped_is_what_compose_runs() -> None:
    services = yaml.safe_load(re.sub(r"!\w+", "", (ROOT / "docker-compose.yml").read_text()))["services"]
    jobs: dict[str, Any] = {job["job_name"]: job for job in yaml.safe_load(CONFIG.read_text())["scrape_configs"]}
    for name in ("transmitter", "channel", "receiver"):
        job = jobs[f"panolink-{name}"]
        if "dns_sd_configs" in job:
            (found,) = job["dns_sd_configs"]
            host, port = found["names"][0], found["port"]
        else:
            host, port = job["static_configs"][0]["targets"][0].split(":")
        assert host in services
        listen = services[host]["environment"][f"PANOLINK_{name.upper()}_METRICS_LISTEN"]
        assert listen == f"0.0.0.0:{port}"
