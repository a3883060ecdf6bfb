"""The channel service: applies simulated fading and noise to bursts, and forwards them to the next hop."""
