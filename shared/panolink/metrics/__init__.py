"""Measures of quality and rate for panoramas: VPSNR and VSSIM on viewports, WS-PSNR, perceptual distances, BD-rate.

They compare a picture with its reference, whatever codec made it: benchmarks, training and the quality reports of
services use them. Nothing here decodes, trains or chooses; weights of perceptual distances are read, not shipped.
"""
