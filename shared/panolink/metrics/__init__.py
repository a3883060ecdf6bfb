"""Measures of quality and rate for panoramas, on what a viewer sees."""
