"""The kinds of panels that our dashboards have, and what all dashboards have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="panolink-prometheus")
"""The datasource, as provisioning/datasources names it."""

HERE = 'instance=~"$instance"'
"""Selects what the dashboard's variable selects."""

ALERTS = 'ALERTS{alertstate="firing",alertname=~"Panolink.+"}'
"""Our alerts while they fire: drawn over all panels of all dashboards."""

Span = Literal[4, 6, 8, 12, 24]
"""Widths of panels, of 24."""


@dataclass(frozen=True)
class Query:
    """A query, and what its series are called; `{{label}}` is a label's value."""

    expr: str
    legend: str


def graph(
    title: str,
    *queries: Query,
    text: str,
    unit: str = "short",
    span: Span = 12,
    stacked: bool = False,
    least: float | None = 0.0,
    most: float | None = None,
    only_with: str = "",
) -> Any:
    """Lines over time. `only_with`: what has to be there for any data, such as a GPU."""
    panel = (
        timeseries.Panel()
        .unit(unit)
        .fill_opacity(25 if stacked else 8)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            build_common.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["mean", "lastNotNull"])
        )
        .tooltip(
            build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .height(8)
    )
    if stacked:
        panel.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL))
    if least is not None:
        panel.axis_soft_min(least)
    if most is not None:
        panel.axis_soft_max(most)
    return _finish(panel, title, queries, text, span, only_with)


def number(
    title: str,
    query: str,
    *,
    text: str,
    unit: str = "short",
    span: Span = 4,
    legend: str = "",
    decimals: int | None = None,
    limits: Sequence[tuple[float | None, str]] = ((None, "blue"),),
) -> Any:
    """One number, large, with its past behind it. `limits`: colours from values on."""
    steps = [models.Threshold(value=value, color=color) for value, color in limits]
    panel = (
        stat.Panel()
        .unit(unit)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .no_value("–")
        .height(4)
    )
    if decimals is not None:
        panel.decimals(decimals)
    return _finish(panel, title, [Query(query, legend)], text, span, "")


def names(title: str, *queries: Query, text: str, span: Span = 12) -> Any:
    """What a metric's labels say, as text."""
    panel = (
        stat.Panel()
        .text_mode(common.BigValueTextMode.NAME)
        .color_mode(common.BigValueColorMode.NONE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
        .height(4)
    )
    return _finish(panel, title, queries, text, span, "")


def spread(title: str, buckets: str, *, text: str, unit: str, span: Span = 12) -> Any:
    """A histogram over time, as a heat map. `buckets`: the increase of a histogram's buckets, by `le`."""
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .height(8)
        .datasource(PROMETHEUS)
        .title(title)
        .description(text)
        .span(span)
    )
    return panel.with_target(
        prometheus.Dataquery().expr(buckets).legend_format("{{le}}").format(PromQueryFormat.HEATMAP).ref_id("A").range()
    )


def dashboard(uid: str, title: str, text: str) -> build.Dashboard:
    """An empty dashboard; its variable `instance` chooses services."""
    return (
        build.Dashboard(f"Panolink: {title}")
        .uid(uid)
        .description(text)
        .tags(["panolink"])
        .refresh("10s")
        .time("now-15m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            build.QueryVariable("instance")
            .label("Instance")
            .datasource(PROMETHEUS)
            .query('label_values(up{job=~"panolink-.+"}, instance)')
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(models.VariableOption(selected=True, text="All", value="$__all"))
        )
        .annotation(
            build.AnnotationQuery().name("Alerts").datasource(PROMETHEUS).enable(True).icon_color("red").expr(ALERTS)
        )
        .link(
            build.DashboardLink("Panolink")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["panolink"])
            .keep_time(True)
            .include_vars(True)
        )
    )


def _finish(panel: Any, title: str, queries: Sequence[Query], text: str, span: Span, only_with: str) -> Any:
    """Title, queries, and a description that begins with what the panel needs where it needs anything."""
    panel.title(title).description(f"Only with {only_with}. {text}" if only_with else text)
    panel.datasource(PROMETHEUS).span(span)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter).range())
    return panel
