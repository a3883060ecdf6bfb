"""What the three services add: overhead of a transfer, start of the containers."""
