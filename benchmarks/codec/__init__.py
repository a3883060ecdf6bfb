"""How good, how fast and how seamless the codec is, at equal bits."""
