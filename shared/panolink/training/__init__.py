"""Training: data, losses, discriminator, trainer, and the fitting of entropy tables."""
