"""Training: data, losses, discriminator, trainer, and the fitting of the entropy coder's tables and networks.

It knows the codec and nothing of radio or services. What it leaves is a weights file; what encodes and decodes with it
is `panolink.codec` alone.
"""
