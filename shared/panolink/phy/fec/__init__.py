"""Forward error correction of 5G NR: CRC, LDPC codes and their decoders, and scrambling (TS 38.212, TS 38.211).

Bits in, bits or soft bits out. A code block at a time: how a payload is cut into blocks is in `panolink.phy.mcs`, and
redundancy versions of several rounds are combined in `panolink.phy.harq`. Kernels are compiled by numba; Sionna and
torch are loaded only for decoding on a GPU.
"""
