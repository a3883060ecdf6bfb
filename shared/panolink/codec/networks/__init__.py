"""The neural networks of the codec: encoder E and decoder G of formulas (1) and (10), by profile.

They map pixels to features and back, and know nothing of quantisation, rates or bits. Two profiles are registered:
``paper``, which follows section III-B of the paper, and ``base``, faster and better. Training lives in
`panolink.training`, weights files in `panolink.codec.model`.
"""
