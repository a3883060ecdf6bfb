"""The paper's AM-VQ: vector quantisation with an activation map that ranks the tokens.

Formulas (2) and (4) to (7): nearest codes, the map, and the fusion of features and codes. How many tokens a rate allows
is decided with `panolink.codec.rate_control`; how they become bits is the matter of `panolink.codec.entropy`. Nothing
here is trained.
"""
