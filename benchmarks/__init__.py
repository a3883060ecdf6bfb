"""Measurements, one script per question. Run them from the root of the project."""
