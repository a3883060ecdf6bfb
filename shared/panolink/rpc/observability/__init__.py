"""Logs, metrics and traces of a service.

`logs` writes text or JSON lines with the ids of the panorama in progress, `metrics` holds a service's Prometheus
registry, `device_metrics` samples CPU, memory and GPU, `stage_timing` measures the stages of a panorama, and `tracing`
exports OpenTelemetry spans. Nothing here changes how an item is handled.
"""
