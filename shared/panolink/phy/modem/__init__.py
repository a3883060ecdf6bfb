"""Bits and symbols: QAM mapping and soft demapping, the symbol interleaver, pilots and channel estimation.

Complex baseband symbols of one burst, one a channel use. There is no waveform, no filter and no synchronisation: the
simulated channel of `panolink.phy.channel` works on the same symbols.
"""
