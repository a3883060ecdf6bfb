"""The transmitter: panoramas become bursts, and what became of them comes back."""
