"""What Panolink's services and clients share on the wire.

    client.py         a user's way to a running link
    conversation.py   items to a service's replicas over streams that mend themselves, one answer for each
    itemstream.py     one such stream, until it breaks
    replicas.py       who stands behind a target, and whose turn it is
    exchange.py       items from a stream, several under way, one answer for each
    chunking.py       large things as messages of at most 1 MiB, and back
    bursts.py         bursts and receipts as values, checked before memory is taken
    segments.py       formats of segments, between the radio's types and the wire's
    conditions.py     conditions of a radio channel, between the radio's type and the wire's
    link.py           both sides of Link.Carry, for the transmitter, the channel and the receiver
    models.py         the models that a service holds
    batching.py       one device for several streams
    connection.py     connections: how they are secured, keep-alive, trying again
    credentials.py    certificates and token, read from files
    access.py         who may call
    certificates.py   an authority for development, and certificates
    deliveries.py     what a client gets to see, as values
    server.py         life cycle: health, reflection, metrics, draining
    interceptors.py   errors to statuses, metrics and log lines of every call
    metrics.py        what every service measures
    settings.py       what every service can be told
    limits.py         how much is allowed
    room.py           memory that all streams share
    stages.py         names and durations of the stages
    status.py         errors and gRPC status codes
    waiting.py        waiting for whatever comes first

Nothing is imported here, so that a channel or a client needs no torch.
"""

import os

# gRPC's C core writes lines of its own to standard error, and reads this once, when grpc is imported.
# What goes wrong is told by our errors; whoever wants the core's view sets the variable.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
