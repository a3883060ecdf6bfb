"""The protocol's messages as Python values, and back.

Items (panoramas, bursts, receipts, deliveries) travel as a header followed by chunks of at most 256 KiB; `framing`
cuts and reassembles them, and headers are checked before memory is allocated. Errors map to gRPC status codes here.
No connections and no streams: those are in `transport`.
"""
