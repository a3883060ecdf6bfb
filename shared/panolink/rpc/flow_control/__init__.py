"""Bounds on what peers may use: message and item sizes, streams, and memory.

Requests exceeding a limit fail; requests exceeding the memory budget block, applying back-pressure to their sender.
Scheduling on a device is not here, see `server.batching`.
"""
