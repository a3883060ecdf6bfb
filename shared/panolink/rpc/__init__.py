"""What Panolink's services and clients share on the wire.

    client.py         a user's way to a running link
    conversation.py   items to a service over a stream that mends itself, one answer for each
    exchange.py       items from a stream, several under way, one answer for each
    chunking.py       large things as messages of at most 1 MiB, and back
    bursts.py         bursts and receipts as values, checked before memory is taken
    segments.py       formats of segments, between the radio's types and the wire's
    link.py           the serving side of Link.Carry, for the channel and the receiver
    batching.py       one device for several streams
    server.py         life cycle: health, reflection, metrics, draining
    interceptors.py   errors to statuses, metrics and log lines of every call
    metrics.py        what every service measures
    settings.py       what every service can be told
    limits.py         how much is allowed
    status.py         errors and gRPC status codes

Nothing is imported here, so that a channel or a client needs no torch.
"""
