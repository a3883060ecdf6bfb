"""The sphere: projections, padding and weights for equirectangular panoramas."""
