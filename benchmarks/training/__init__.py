"""What training takes, and what it brings."""
