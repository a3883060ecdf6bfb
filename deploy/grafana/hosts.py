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
    )
