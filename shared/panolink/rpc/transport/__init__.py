"""Connections and long-lived bidirectional streams, for clients and servers.

`connection` opens channels, `load_balancer` spreads items over replicas, `retrying_client` resends items when a stream
breaks, and `stream_handler` serves a stream with several items in flight. `carry` is both sides of `Link.Carry`.
Only `carry` knows what the items are.
"""
