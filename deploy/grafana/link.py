"""The dashboard "Link": what is sent, what it costs, and what of it arrives."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import HERE, Query, dashboard, graph, number, spread

TRANSMITTER = f'job="panolink-transmitter",{HERE}'
RECEIVER = f'job="panolink-receiver",{HERE}'
GOOD_TO_BAD = ((None, "green"), (0.01, "yellow"), (0.1, "red"))


def link() -> Dashboard:
    return (
        dashboard("panolink-link", "Link", "What is sent, what it costs, and what of it arrives.")
        .with_row(Row("At present"))
        .with_panel(
            number(
                "Bitrate",
                f"8 * sum(job_instance_slot:panolink_stream_bytes:rate1m{{{HERE}}})",
                text="Bits that leave the source coder in a second, over all streams.",
                unit="bps",
            )
        )
        .with_panel(
            number(
                "Panoramas",
                f'sum(rate(panolink_panoramas_total{{code="OK",{TRANSMITTER}}}[$__rate_interval]))',
                text="Panoramas delivered in a second.",
                unit="reqps",
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Bits per pixel",
                f"avg(job_instance:panolink_bits_per_pixel:ratio_rate5m{{{HERE}}})",
                text="All bits that leave the source coder, header, mask, indices and features, per pixel.",
                decimals=4,
            )
        )
        .with_panel(
            number(
                "SNR",
                f"min(panolink_snr_db{{{RECEIVER}}})",
                text="Mean Es/N0 of the last burst, at the receiver that hears worst.",
                unit="dB",
                limits=((None, "red"), (3, "yellow"), (8, "green")),
            )
        )
        .with_panel(
            number(
                "Segments lost",
                f"max(job_instance:panolink_segments_lost:ratio_rate5m{{{RECEIVER}}})",
                text="Share of the segments whose CRC failed, at the receiver that lost most.",
                unit="percentunit",
                limits=GOOD_TO_BAD,
            )
        )
        .with_panel(
            number(
                "Not delivered",
                f"max(job_instance:panolink_panoramas_failed:ratio_rate5m{{{TRANSMITTER}}})",
                text="Share of the panoramas that were answered with a failure.",
                unit="percentunit",
                limits=((None, "green"), (0.001, "yellow"), (0.05, "red")),
            )
        )
        .with_row(Row("Rate"))
        .with_panel(
            graph(
                "Bitrate by layer",
                Query(f"8 * sum by (layer) (job_instance_layer:panolink_coded_bytes:rate1m{{{HERE}}})", "{{layer}}"),
                text="Indices are the base layer, features the enhancement layer; header and mask say what is where.",
                unit="bps",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Bitrate by stream",
                Query(f"8 * job_instance_slot:panolink_stream_bytes:rate1m{{{HERE}}}", "{{instance}} slot {{slot}}"),
                text="A stream has the least slot that is free when it begins; the next one there continues its line.",
                unit="bps",
            )
        )
        .with_panel(
            graph(
                "Cost of a pixel",
                Query(f"job_instance:panolink_bits_per_pixel:ratio_rate5m{{{HERE}}}", "{{instance}} bits"),
                Query(f"job_instance:panolink_symbols_per_pixel:ratio_rate5m{{{HERE}}}", "{{instance}} symbols"),
                text="Bits that leave the source coder, and complex symbols (channel uses) that leave the mapper.",
            )
        )
        .with_panel(
            graph(
                "Symbols",
                Query(f"sum by (job) (rate(panolink_symbols_total{{{HERE}}}[$__rate_interval]))", "{{job}}"),
                Query(
                    f"sum(rate(panolink_retransmitted_symbols_total{{{HERE}}}[$__rate_interval]))",
                    "sent in later rounds",
                ),
                text="Complex symbols in a second. What one hop counts and the next does not is under way, or lost.",
                unit="cps",
            )
        )
        .with_panel(
            spread(
                "Symbols of a pixel",
                f"sum by (le) (increase(panolink_symbols_per_pixel_bucket{{{HERE}}}[$__rate_interval]))",
                text="How many panoramas cost how many channel uses per pixel.",
                unit="short",
            )
        )
        .with_panel(
            graph(
                "Schemes",
                Query(
                    f"sum by (layer, scheme) (rate(panolink_scheme_segments_total{{{HERE}}}[$__rate_interval]))",
                    "{{layer}} {{scheme}}",
                ),
                text="Segments sent in a second by layer, modulation and code rate.",
                unit="cps",
                stacked=True,
            )
        )
        .with_row(Row("Air"))
        .with_panel(
            graph(
                "SNR at each receiver",
                Query(f"panolink_snr_db{{{RECEIVER}}}", "{{instance}}"),
                text="Mean Es/N0 of the last burst at each receiver, in dB; no line where no noise is added.",
                unit="dB",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Segments lost by layer",
                Query(
                    f"max by (layer) (job_instance_layer:panolink_segments_lost:ratio_rate5m{{{RECEIVER}}})",
                    "{{layer}}",
                ),
                text="A lost header costs the panorama; an index is concealed from neighbours; a feature is detail.",
                unit="percentunit",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Concealed and erased",
                Query(f"sum(rate(panolink_concealed_tokens_total{{{HERE}}}[$__rate_interval]))", "tokens concealed"),
                Query(f"sum(rate(panolink_erased_symbols_total{{{HERE}}}[$__rate_interval]))", "symbols erased"),
                text="Tokens concealed from their neighbours; symbols in packets erased by the channel.",
                unit="cps",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Panoramas by status",
                Query(
                    f"sum by (code) (rate(panolink_panoramas_total{{{TRANSMITTER}}}[$__rate_interval]))",
                    "{{code}}",
                ),
                text="What the transmitter answered, by gRPC status; docs/protocol.md says what each means.",
                unit="reqps",
                stacked=True,
                span=8,
            )
        )
        .with_panel(
            graph(
                "Breaks of the link",
                Query(f"sum by (job) (increase(panolink_link_breaks_total{{{HERE}}}[5m]))", "{{job}} breaks"),
                Query(f"sum by (job) (increase(panolink_resends_total{{{HERE}}}[5m]))", "{{job}} sent again"),
                Query(f"sum by (job) (increase(panolink_repeats_total{{{HERE}}}[5m]))", "{{job}} known already"),
                text="Streams to the next hop that broke in five minutes, bursts that were sent again for it, and those"
                " of them that a receiver knew.",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Hybrid ARQ",
                Query(f"sum(rate(panolink_harq_rounds_total{{{RECEIVER}}}[$__rate_interval]))", "later rounds"),
                Query(
                    f"sum(rate(panolink_segments_recovered_total{{{RECEIVER}}}[$__rate_interval]))",
                    "segments recovered",
                ),
                Query(
                    f"sum by (reason) (rate(panolink_harq_given_up_total{{{RECEIVER}}}[$__rate_interval]))",
                    "bursts given up: {{reason}}",
                ),
                text="Rounds in which lost segments were sent again, what they brought, and bursts shown without some.",
                unit="cps",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Bursts between two rounds",
                Query(f"panolink_harq_waiting{{{RECEIVER}}}", "{{instance}} waiting"),
                Query(
                    f"sum by (instance) (increase(panolink_harq_unknown_total{{{RECEIVER}}}[5m]))",
                    "{{instance}} unknown in 5 min",
                ),
                text="Bursts whose lost segments have been asked for, and later rounds of bursts that a receiver does"
                " not know, for it was restarted or gave them up.",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Replicas of the next hop",
                Query(f"panolink_replicas{{{HERE}}}", "{{job}} {{state}}"),
                text="How many next hops each service knows, and how many of them it is connected to.",
                span=8,
            )
        )
        .with_row(Row("Adaptation"))
        .with_panel(
            graph(
                "What is counted on",
                Query(f"panolink_snr_db{{{RECEIVER}}}", "{{instance}} SNR"),
                Query(f"panolink_adaptation_snr_db{{{TRANSMITTER}}}", "{{instance}} counts on"),
                Query(f"panolink_adaptation_margin_db{{{TRANSMITTER}}}", "{{instance}} margin"),
                Query(f"panolink_adaptation_base_layer_margin_db{{{TRANSMITTER}}}", "{{instance}} base layer margin"),
                text="Of adaptive panoramas: the SNR that they are sent for, what has been taken off, and by how much"
                " more than usual it may fall before indices are lost.",
                unit="dB",
                least=None,
                span=8,
            )
        )
        .with_panel(
            graph(
                "Bits of a symbol",
                Query(f"panolink_spectral_efficiency{{{TRANSMITTER}}}", "{{instance}} {{layer}}"),
                text="Information bits that a symbol of each layer carried: modulation and code rate in one number.",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Features sent, slices left out",
                Query(f"panolink_tau_ratio{{{TRANSMITTER}}}", "{{instance}} τ"),
                Query(f"panolink_resolution_ratio{{{TRANSMITTER}}}", "{{instance}} tokens of full resolution's"),
                Query(
                    f"sum by (instance) (rate(panolink_segments_unsent_total{{{RECEIVER}}}[$__rate_interval]))"
                    f" / (sum by (instance) (rate(panolink_segments_sent_total{{{RECEIVER}}}[$__rate_interval])) > 0)",
                    "{{instance}} left out per segment sent",
                ),
                Query(f"panolink_adaptation_fading_ratio{{{TRANSMITTER}}}", "{{instance}} fading expected"),
                text="Share of the last panorama's tokens whose features were sent too; the tokens it was coded in,"
                " over those of full resolution; slices that a budget had no room for; and the fading that is expected"
                " within a burst, 1 being Rayleigh.",
                unit="percentunit",
                span=8,
            )
        )
        .with_row(Row("Quality"))
        .with_panel(
            graph(
                "VPSNR",
                Query(
                    f"sum by (instance) (rate(panolink_vpsnr_db_sum{{{HERE}}}[5m]))"
                    f" / (sum by (instance) (rate(panolink_vpsnr_db_count{{{HERE}}}[5m])) > 0)",
                    "{{instance}} mean",
                ),
                Query(
                    "histogram_quantile(0.1, sum by (instance, le)"
                    f" (rate(panolink_vpsnr_db_bucket{{{HERE}}}[5m]))) >= 0",
                    "{{instance}} worst tenth",
                ),
                text="Of what came back against what was sent, over 14 viewports.",
                unit="dB",
                least=None,
                only_with="senders that take pictures back (PANOLINK_TRANSMITTER_QUALITY_SHARE of them are measured)",
            )
        )
        .with_panel(
            graph(
                "Tokens with features",
                Query(f"job_instance:panolink_kept_tokens:ratio_rate5m{{{HERE}}}", "{{instance}}"),
                text="Share of the tokens whose features were sent too: what the rate leaves room for.",
                unit="percentunit",
            )
        )
    )
