"""The dashboard "Latency": how long a panorama takes, and where it waits."""

from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import HERE, Query, dashboard, graph, number, spread

SECONDS = ((None, "green"), (1.0, "yellow"), (2.5, "red"))


def latency() -> Dashboard:
    board = dashboard("panolink-latency", "Latency", "How long a panorama takes, and where it waits.")
    board.with_row(Row("End to end"))
    for quantile in (50, 95, 99):
        board.with_panel(
            number(
                f"p{quantile}",
                f"max(job_instance:panolink_end_to_end_seconds:p{quantile}_rate5m{{{HERE}}})",
                text=f"{quantile} % of the panoramas took no longer, from their last byte in to their receipt.",
                unit="s",
                span=6,
                limits=SECONDS,
            )
        )
    board.with_panel(
        number(
            "Within 2.5 s",
            f"min(job_instance:panolink_within_objective:ratio_rate5m{{{HERE}}})",
            text="The objective: share of the panoramas that took less than 2.5 s. The alert is at 95 %.",
            unit="percentunit",
            span=6,
            limits=((None, "red"), (0.95, "yellow"), (0.99, "green")),
        )
    )
    return (
        board.with_panel(
            graph(
                "Quantiles",
                *(
                    Query(
                        f"job_instance:panolink_end_to_end_seconds:p{quantile}_rate5m{{{HERE}}}",
                        f"{{{{instance}}}} p{quantile}",
                    )
                    for quantile in (50, 95, 99)
                ),
                text="By the transmitter's clock alone, there and back: two hosts' clocks are never compared.",
                unit="s",
            )
        )
        .with_panel(
            spread(
                "All panoramas",
                f"sum by (le) (increase(panolink_end_to_end_seconds_bucket{{{HERE}}}[$__rate_interval]))",
                text="How many panoramas took how long.",
                unit="s",
            )
        )
        .with_row(Row("Stages"))
        .with_panel(
            graph(
                "Mean of each stage",
                Query(
                    f"avg by (job, stage) (job_instance_stage:panolink_stage_seconds:mean_rate5m{{{HERE}}})",
                    "{{job}} {{stage}}",
                ),
                text="What is left to the whole is time on the wire. Stages of several panoramas overlap.",
                unit="s",
                stacked=True,
            )
        )
        .with_panel(_stages(50))
        .with_panel(_stages(95))
        .with_panel(_stages(99))
        .with_row(Row("Waiting"))
        .with_panel(
            graph(
                "Wait for a network",
                Query(
                    f'avg by (job) (job_instance_stage:panolink_stage_seconds:mean_rate5m{{stage="queue",{HERE}}})',
                    "{{job}} mean",
                ),
                text="Mean wait for a place in a batch, at both ends.",
                unit="s",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Queues",
                Query(f"panolink_queue_depth{{{HERE}}}", "{{job}} {{queue}}"),
                text="What waits for a network (encode, decode) or a viewer (watch); bursts that a receiver has.",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Under way",
                Query(f"panolink_in_flight{{{HERE}}}", "{{job}} {{instance}}"),
                text="Panoramas or bursts that a service has taken and not answered.",
                span=8,
            )
        )
    )


def _stages(quantile: int) -> Any:
    return graph(
        f"p{quantile} of each stage",
        Query(
            f"histogram_quantile({quantile / 100}, sum by (job, stage, le)"
            f" (rate(panolink_stage_seconds_bucket{{{HERE}}}[5m]))) >= 0",
            "{{job}} {{stage}}",
        ),
        text=f"{quantile} % of the panoramas spent no longer in the stage.",
        unit="s",
    )
