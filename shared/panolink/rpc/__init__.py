"""gRPC infrastructure shared by the services and the client.

    wire/            messages as Python values, checked, and back
    transport/       connections, load balancing, reconnecting streams, serving streams
    flow_control/    limits, memory budgets, waiting with cancellation
    security/        TLS credentials, bearer tokens, a development certificate authority
    observability/   structured logs, Prometheus metrics, OpenTelemetry traces
    server/          service life cycle, settings, interceptors, model registry, batching
    addresses.py     host and port of a service
    version.py       the version of Panolink

What a panorama or a burst means is the business of `panolink.link` and of the services, not of this package.
Nothing is imported here, so that a channel or a client does not load torch.
"""
