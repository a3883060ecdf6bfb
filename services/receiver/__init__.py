"""The receiver service: decodes bursts to panoramas, and publishes them to watchers."""
