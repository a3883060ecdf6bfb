"""Measurements, one script per question, in rooms: codec, link, services, training; `lib` is what they share.

Run them from the root of the project: `python benchmarks/codec/rate_distortion.py --help`.
"""
