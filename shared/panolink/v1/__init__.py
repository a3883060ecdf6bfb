"""Generated from `proto/panolink/v1` by `scripts/generate_stubs.py`; not to be edited."""
