"""What every service process needs around its servicers.

`server` runs the process (health, reflection, draining), `settings` reads environment variables, `interceptors` maps
errors to statuses, `model_registry` holds the loaded codecs, and `batching` runs one device for all streams.
The servicers themselves are in `panolink.services`.
"""
