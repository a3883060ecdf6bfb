"""The channel: bursts pass through simulated fading and noise on their way to the next hop."""
