"""Shape aliases for signatures of the radio: what an array holds, beside its type.

They are for readers and type checkers; nothing is checked at run time. Letters: n entries of a sequence, its length
given by the context (bits, symbols, values); k and n information and coded bits of a code block; z lifting size of an
LDPC code.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# ── bits ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

Bits: TypeAlias = NDArray[np.uint8]
"""(n,), each 0 or 1"""

BitBlocks: TypeAlias = NDArray[np.uint8]
"""(code blocks, k) information bits or (code blocks, n) coded bits, each 0 or 1"""

Llrs: TypeAlias = NDArray[np.float32]
"""(n,): log-likelihood ratios ln P(bit = 0) / P(bit = 1), positive for 0"""

LlrBlocks: TypeAlias = NDArray[np.float32]
"""(code blocks, n): `Llrs` of each code block of a segment"""

WordLlrs: TypeAlias = NDArray[np.float32]
"""(information columns + rows, z): `Llrs` of a word before rate matching, by circulants"""

# ── symbols ───────────────────────────────────────────────────────────────────────────────────────────────────────────

Symbols: TypeAlias = NDArray[np.complex64]
"""(n,): complex baseband symbols, one a channel use, of unit mean power as sent"""

Gains: TypeAlias = NDArray[np.complex64]
"""(n,): channel coefficient h of each symbol, 0 where it was erased"""

Csi: TypeAlias = NDArray[np.complex64]
"""(⌈n / coherence_symbols⌉,): channel coefficient h of each coherence block of n symbols, 0 where it was erased"""

SymbolMask: TypeAlias = NDArray[np.bool_]
"""(n,): a choice of symbols or packets"""

Positions: TypeAlias = NDArray[np.int64]
"""(n,): positions in another sequence"""

# ── real numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────

Values: TypeAlias = NDArray[np.floating]
"""(n,): real numbers, float64 as a rule, such as features to be sent uncoded, times in seconds, or SNRs in dB"""

Estimates: TypeAlias = NDArray[np.float32]
"""(n,): received estimates of `Values`, or the variances of their errors"""

Priorities: TypeAlias = NDArray[np.int64]
"""(n,): √(weight · variance) of each of `Values` on a logarithmic scale, in quarter octaves"""
