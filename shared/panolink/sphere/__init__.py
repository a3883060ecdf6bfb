"""Geometry of equirectangular panoramas: latitudes and area weights, padding that wraps, perspective views.

Tensors in, tensors out. Shared by the codec, its training and the metrics; knows nothing of any of them, nor of files
and colours.
"""
