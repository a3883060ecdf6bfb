"""Uncoded analog transmission of features: of how many tokens, and with how many values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from panolink.codec.resolution import WHOLE
from panolink.link.analog_features import SideInformation, differences_of, pack_base
from panolink.link.coding import Coded, Coding, slices_of
from panolink.link.rate_allocation import protect
from panolink.link.segments import GAIN_CORRECTIONS
from panolink.link.symbol_budget import Plan, SymbolBudget
from panolink.link.unequal_protection import Choice, Protection

_SHARES = (0.25, 0.5, 1.0)
_USUAL_SNR_DB = 10.0  # for which the share of the tokens is chosen where the SNR is not known


def code_analog(
    coding: Coding, budget: SymbolBudget, protection: Protection, *, tau: float | None = None
) -> Coded | None:
    """Code mask and indices, and send with the rest of a budget as many feature values as it carries, as amplitudes.

    Parameters
    ----------
    coding : Coding
        The panorama's encoding.
    budget : SymbolBudget
        Symbols of the burst.
    protection : Protection
        Of mask and indices; a `Choice` of it says for which SNR the share of tokens is chosen.
    tau : float | None
        Share of the tokens whose features are sent, 0 … 1; None: of 1/4, 1/2 and 1 the one with the least expected
        error.

    Returns
    -------
    The coded panorama; None where the budget has no room for any value.
    """
    codec, base = coding.codec, coding.quantized(WHOLE, tau=0.0)
    with coding.stage("quantize"):
        differences = differences_of(codec, coding.known[WHOLE], base.indices)
    noise = 10 ** (-(protection.snr_db if isinstance(protection, Choice) else _USUAL_SNR_DB) / 10)
    best: tuple[float, Coded, SideInformation, list[int]] | None = None
    for share in _SHARES if tau is None else (tau,):
        kept = coding.quantized(WHOLE, tau=share).kept
        tokens = replace(base, kept=kept, symbols=np.zeros((int(kept.sum()), differences.shape[2]), np.int32))
        known = SideInformation.of(codec, base.indices, kept, base.slices)
        with coding.stage("entropy_code"):
            packet = pack_base(codec, tokens).with_metadata(coding.sphere)
        slices = [*slices_of(packet), (GAIN_CORRECTIONS, bytes(known.slices))]
        schemes = protect(slices, budget, protection, coding.pilot_spacing)
        plan = Plan.of(0.0, slices, schemes, coding.pilot_spacing)
        if plan.symbols > budget.symbols:
            continue
        counts = known.counts(2 * _left(plan, budget))
        if not any(counts):
            continue
        error = known.expected_error(differences, counts, noise)
        if best is None or error < best[0]:
            best = error, Coded(tokens, packet, plan), known, counts
    if best is None:
        return None
    _, coded, known, counts = best
    amplitudes, gain_corrections = known.modulate(differences, counts)
    plan = coded.plan._replace(slices=[*coded.plan.slices[:-1], (GAIN_CORRECTIONS, gain_corrections)])
    return replace(coded, plan=plan, amplitudes=amplitudes, values=counts)


def _left(plan: Plan, budget: SymbolBudget) -> int:
    """Symbols that a plan leaves of a budget, pilots deducted."""
    spacing = plan.pilot_spacing
    pilots = -(-budget.symbols // spacing) if spacing else 0
    return budget.symbols - pilots - sum(fmt.symbols for fmt in plan.formats)
