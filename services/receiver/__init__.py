"""The receiver: bursts become panoramas again, for whoever watches."""
