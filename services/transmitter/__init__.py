"""The transmitter service: encodes panoramas to bursts, sends them to the next hop, and returns deliveries."""
