"""The dashboard "Hosts": what the services use of processors, memory and GPUs."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import HERE, Query, dashboard, graph, names

OURS = f'job=~"panolink-.+",{HERE}'


def hosts() -> Dashboard:
    return (
        dashboard("panolink-hosts", "Hosts", "What the services use of processors, memory and GPUs.")
        .with_row(Row("Services"))
        .with_panel(
            names(
                "Versions",
                Query(f"panolink_build_info{{{HERE}}}", "{{job}} {{version}}"),
                text="The version of Panolink that each service runs.",
            )
        )
        .with_panel(
            names(
                "Models",
                Query(f"panolink_model_info{{{HERE}}}", "{{job}} {{name}} {{fingerprint}}"),
                text="Models that are held, with their fingerprints: both ends need the same.",
            )
        )
        .with_panel(
            graph(
                "Up",
                Query(f"up{{{OURS}}}", "{{job}} {{instance}}"),
                text="1 where Prometheus reaches the service's metrics.",
                span=8,
                most=1,
            )
        )
        .with_panel(
            graph(
                "Age",
                Query(f"time() - process_start_time_seconds{{{OURS}}}", "{{job}} {{instance}}"),
                text="Time since the process started: a line that falls is a restart.",
                unit="s",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Streams",
                Query(f"panolink_streams{{{HERE}}}", "{{job}} {{kind}}"),
                text="Streams that are open: of senders (transmit), from the hop before (link), to viewers (watch).",
                span=8,
            )
        )
        .with_row(Row("Processors and memory"))
        .with_panel(
            graph(
                "CPU",
                Query(f"job_instance:panolink_cpu_utilization:ratio_rate1m{{{HERE}}}", "{{job}} {{instance}}"),
                text="Share of the processors that the service may use.",
                unit="percentunit",
                most=1,
            )
        )
        .with_panel(
            graph(
                "Processors",
                Query(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])", "{{job}} used"),
                Query(f"panolink_cpus{{{HERE}}}", "{{job}} there"),
                text="Processors in use, and those that the service may use: its container's, where that has a limit.",
            )
        )
        .with_panel(
            graph(
                "Memory",
                Query(f"process_resident_memory_bytes{{{OURS}}}", "{{job}} {{instance}}"),
                text="Resident memory of each process.",
                unit="bytes",
            )
        )
        .with_panel(
            graph(
                "File descriptors",
                Query(f"process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}}", "{{job}} {{instance}}"),
                text="Share of the file descriptors that a process may have.",
                unit="percentunit",
            )
        )
        .with_panel(
            graph(
                "Tasks",
                Query(f"panolink_tasks{{{HERE}}}", "{{job}} {{instance}}"),
                text="Tasks of each event loop: they go up with what is under way, and down again.",
                span=24,
            )
        )
        .with_row(Row("Devices"))
        .with_panel(
            graph(
                "Networks at work",
                Query(
                    f"job_instance_device:panolink_device_busy:ratio_rate1m{{{HERE}}}",
                    "{{job}} {{instance}} {{device}}",
                ),
                text="Share of the time in which a network of ours ran on the device; near 1, panoramas wait for it.",
                unit="percentunit",
                most=1,
            )
        )
        .with_panel(
            graph(
                "GPU",
                Query(f"panolink_gpu_utilization_ratio{{{HERE}}}", "{{job}} {{instance}} {{device}}"),
                text="How busy the driver says the GPU is, whoever uses it.",
                unit="percentunit",
                most=1,
                only_with="an NVIDIA GPU and panolink[gpu]",
            )
        )
        .with_panel(
            graph(
                "Memory of devices",
                Query(f"panolink_device_memory_bytes{{{HERE}}}", "{{job}} {{device}} used"),
                Query(f"panolink_device_memory_limit_bytes{{{HERE}}}", "{{job}} {{device}} there"),
                text="Memory in use where models run: allocated on a GPU, the process's on a CPU.",
                unit="bytes",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Batch size",
                Query(
                    f"sum by (job, stage) (rate(panolink_batch_size_sum{{{HERE}}}[5m]))"
                    f" / (sum by (job, stage) (rate(panolink_batch_size_count{{{HERE}}}[5m])) > 0)",
                    "{{job}} {{stage}}",
                ),
                text="Mean number of panoramas that run through a network together.",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Queues, how full",
                Query(f"job_instance_queue:panolink_queue_fill:ratio{{{HERE}}}", "{{job}} {{queue}}"),
                text="Share of each queue's places that are taken; at 1, whoever feeds it is held back.",
                unit="percentunit",
                span=8,
                most=1,
            )
        )
        .with_panel(
            graph(
                "Saved panoramas",
                Query(f"panolink_saved_bytes{{{HERE}}}", "{{instance}}"),
                text="Bytes of all files of received panoramas; the oldest make room.",
                unit="bytes",
                only_with="PANOLINK_RECEIVER_SAVE_FOLDER",
            )
        )
        .with_panel(
            graph(
                "Viewers miss",
                Query(f"sum by (job, queue) (increase(panolink_dropped_total{{{HERE}}}[5m]))", "{{job}} {{queue}}"),
                text="Panoramas that viewers slower than the link missed in five minutes.",
            )
        )
        .with_panel(
            graph(
                "Memory under way",
                Query(f"panolink_under_way_bytes{{{HERE}}}", "{{job}} images and bursts"),
                Query(f"panolink_harq_held_bytes{{{HERE}}}", "{{job}} between rounds"),
                text="Images and bursts under way, and soft bits that wait for another round; both are bounded.",
                unit="bytes",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Pixels under way",
                Query(f"panolink_under_way_pixels{{{HERE}}}", "{{job}} {{instance}}"),
                text="Pixels of panoramas that are unpacked, of MAX_PIXELS_UNDER_WAY.",
                span=8,
            )
        )
        .with_row(Row("Calls"))
        .with_panel(
            graph(
                "Calls begun and ended",
                Query(f"sum by (job) (rate(grpc_server_started_total{{{HERE}}}[5m]))", "{{job}} begun"),
                Query(
                    f"sum by (job, grpc_code) (rate(grpc_server_handled_total{{{HERE}}}[5m]))",
                    "{{job}} {{grpc_code}}",
                ),
                text="Calls in a second; a stream is one call. Those that end, by gRPC status.",
                unit="reqps",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Messages",
                Query(f"sum by (job) (rate(grpc_server_msg_received_total{{{HERE}}}[5m]))", "{{job}} received"),
                Query(f"sum by (job) (rate(grpc_server_msg_sent_total{{{HERE}}}[5m]))", "{{job}} sent"),
                text="Messages of all streams in a second, headers and chunks of 256 KiB at most.",
                unit="cps",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Duration of calls",
                Query(
                    "histogram_quantile(0.99, sum by (job, grpc_method, le)"
                    f" (rate(grpc_server_handling_seconds_bucket{{{HERE}}}[5m]))) >= 0",
                    "{{job}} {{grpc_method}}",
                ),
                text="99 % of the calls that ended took no longer; streams last as long as their peers.",
                unit="s",
                span=8,
            )
        )
        .with_row(Row("Viewer"))
        .with_panel(
            graph(
                "Browsers",
                Query(f"panolink_viewer_browsers{{{HERE}}}", "{{instance}} connected"),
                Query(
                    f"sum by (reason) (increase(panolink_viewer_refused_total{{{HERE}}}[5m]))",
                    "refused in 5 min: {{reason}}",
                ),
                Query(
                    f"sum by (outcome) (increase(panolink_viewer_uploads_total{{{HERE}}}[5m]))",
                    "uploads in 5 min: {{outcome}}",
                ),
                text="Browsers that look on, and what they sent or were refused in five minutes.",
                only_with="the live viewer",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Pictures for browsers",
                Query(f"sum(rate(panolink_viewer_pictures_total{{{HERE}}}[$__rate_interval]))", "shown"),
                Query(
                    f"sum by (at) (rate(panolink_viewer_pictures_skipped_total{{{HERE}}}[$__rate_interval]))",
                    "replaced by newer ones: {{at}}",
                ),
                text="Received panoramas in a second that went to browsers, and those that newer ones replaced.",
                unit="cps",
                only_with="the live viewer",
                span=8,
            )
        )
        .with_panel(
            graph(
                "Gaze",
                Query(f"sum(rate(panolink_viewer_gazes_total{{{HERE}}}[$__rate_interval]))", "directions in a second"),
                Query(f"panolink_viewer_gaze_age_seconds{{{HERE}}}", "{{instance}} age in seconds"),
                text="Directions in which browsers look, as they come, and how old the newest is.",
                only_with="the live viewer",
                span=8,
            )
        )
    )
