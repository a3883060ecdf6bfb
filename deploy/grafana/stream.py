"""The dashboard "Streams": pictures that are predicted from one another, and who watches them."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import HERE, Query, dashboard, graph

RATE = "[$__rate_interval]"


def stream() -> Dashboard:
    """The dashboard."""
    board = dashboard(
        "panolink-streams", "Streams", "Pictures that are predicted from one another, and who watches them."
    )
    return (
        board.with_row(Row("Pictures"))
        .with_panel(
            graph(
                "Pictures a second",
                Query(
                    f"sum by (instance, slot, coded) (rate(panolink_stream_pictures_total{{{HERE}}}{RATE}))",
                    "in, slot {{slot}} of {{instance}}, {{coded}}",
                ),
                Query(
                    f"sum by (instance, slot) (rate(panolink_received_stream_pictures_total{{{HERE}}}{RATE}))",
                    "out, slot {{slot}} of {{instance}}",
                ),
                Query(
                    f"sum by (instance, slot) (panolink_wanted_frame_rate{{{HERE}}})",
                    "wanted, slot {{slot}} of {{instance}}",
                ),
                text="Whole ones begin a stream, follow a cut or the loss of a receiver; all others are predicted. "
                "Slots are numbered at each service: the least that was free when the stream began.",
                unit="ops",
            )
        )
        .with_panel(
            graph(
                "Bit rate",
                Query(
                    f"8 * sum by (instance, slot) (rate(panolink_stream_bytes_total{{{HERE}}}{RATE}))",
                    "slot {{slot}} of {{instance}}",
                ),
                text="Of each stream, after the source coder and before protection.",
                unit="bps",
            )
        )
        .with_panel(
            graph(
                "Time between arrivals",
                Query(
                    "histogram_quantile(0.5, sum by (instance, slot, le) "
                    f"(rate(panolink_arrival_interval_seconds_bucket{{{HERE}}}{RATE}))) >= 0",
                    "slot {{slot}} of {{instance}}, median",
                ),
                Query(
                    "histogram_quantile(0.95, sum by (instance, slot, le) "
                    f"(rate(panolink_arrival_interval_seconds_bucket{{{HERE}}}{RATE}))) >= 0",
                    "slot {{slot}} of {{instance}}, 95 %",
                ),
                text="At the receiver. The further apart the two are, the more the stream stutters.",
                unit="s",
            )
        )
        .with_panel(
            graph(
                "Age of the last picture",
                Query(
                    f"min by (instance, slot) (time() - panolink_last_arrival_timestamp_seconds{{{HERE}}}) < 60",
                    "slot {{slot}} of {{instance}}",
                ),
                text="Since it was handed to viewers, of streams that have had one within a minute.",
                unit="s",
            )
        )
        .with_panel(
            graph(
                "Glass to glass",
                Query(
                    "histogram_quantile(0.5, sum by (le) "
                    f"(rate(panolink_glass_to_glass_seconds_bucket{{{HERE}}}{RATE}))) >= 0",
                    "median",
                ),
                Query(
                    "histogram_quantile(0.95, sum by (le) "
                    f"(rate(panolink_glass_to_glass_seconds_bucket{{{HERE}}}{RATE}))) >= 0",
                    "95 %",
                ),
                text="From when a live picture was taken to when viewers have it; needs clocks that agree.",
                unit="s",
            )
        )
        .with_panel(
            graph(
                "Loss and quality",
                Query(
                    f'job_instance:panolink_segments_lost:ratio_rate5m{{job="panolink-receiver",{HERE}}}',
                    "segments lost at {{instance}}",
                ),
                text="Of all bursts. What a picture of a stream lost stays as it was before.",
                unit="percentunit",
            )
        )
        .with_panel(
            graph(
                "Tokens",
                Query(f"sum by (kind) (rate(panolink_stream_tokens_total{{{HERE}}}{RATE}))", "{{kind}}"),
                text="Of a still scene nearly all are unchanged, and some are refined; a cut makes all new.",
                unit="ops",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Not shown, or sent again",
                Query(
                    f"sum by (instance, slot) (rate(panolink_skipped_pictures_total{{{HERE}}}{RATE}))",
                    "source, slot {{slot}} of {{instance}}",
                ),
                Query(f"sum(rate(panolink_late_pictures_total{{{HERE}}}{RATE}))", "overtaken"),
                Query(f'sum(rate(panolink_dropped_total{{queue="watch",{HERE}}}{RATE}))', "viewers too slow"),
                Query(
                    f'sum(rate(panolink_panoramas_total{{job="panolink-transmitter",code="DEADLINE_EXCEEDED",{HERE}}}{RATE}))',
                    "deadline missed",
                ),
                Query(
                    f'sum(rate(panolink_references_needed_total{{job="panolink-transmitter",{HERE}}}{RATE}))',
                    "sent again whole",
                ),
                Query(
                    f'sum(rate(panolink_references_needed_total{{job="panolink-receiver",{HERE}}}{RATE}))',
                    "reference needed",
                ),
                text="What a live source leaves out came too late to be sent. Overtaken pictures are not shown; "
                "without its reference a receiver asks for a whole one.",
                unit="ops",
            )
        )
        .with_row(Row("Viewers"))
        .with_panel(
            graph(
                "Viewers",
                Query(f"sum by (instance) (panolink_viewers{{{HERE}}})", "{{instance}}"),
                text="That watch now.",
            )
        )
        .with_panel(
            graph(
                "Age of the gaze",
                Query(f"max by (instance) (panolink_gaze_age_seconds{{{HERE}}})", "{{instance}}"),
                Query(f"sum(rate(panolink_refused_gazes_total{{{HERE}}}{RATE}))", "refused a second"),
                text="Of the gaze that the last picture was made for: the way back, and how often viewers tell.",
                unit="s",
            )
        )
        .with_row(Row("Memory"))
        .with_panel(
            graph(
                "Streams that are held",
                Query(f"sum(panolink_predicted_streams{{{HERE}}})", "transmitter"),
                Query(f"sum(panolink_stream_states{{{HERE}}})", "receiver"),
                text="Those that have been quiet for longest make room.",
            )
        )
        .with_panel(
            graph(
                "What they take",
                Query(f"sum(panolink_predicted_state_bytes{{{HERE}}})", "transmitter"),
                Query(f"sum(panolink_stream_state_bytes{{{HERE}}})", "receiver"),
                text="Tokens of the last eight pictures of each.",
                unit="bytes",
            )
        )
    )
