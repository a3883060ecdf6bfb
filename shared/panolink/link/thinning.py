"""Thinning: which index slices are sent where a budget of symbols has no room for all of the base layer."""

import math

import numpy as np

from panolink.errors import RateError
from panolink.link.symbol_budget import Plan, Slices, SymbolBudget
from panolink.link.unequal_protection import Schemes
from panolink.phy.mcs import SegmentFormat
from panolink.phy.modem.channel_estimation import pilot_count


def thinned(base: Slices, budget: SymbolBudget, schemes: Schemes, *, pixels: int, pilot_spacing: int = 0) -> Plan:
    """As many index slices, evenly spread, as fit.

    A slice holds rows that are far apart: what is left out lies between rows that are sent.

    Parameters
    ----------
    base : Slices
        The base layer, which does not fit whole.
    budget : SymbolBudget
    schemes : Schemes
        Of each layer.
    pixels : int
        Height × width of the panorama.
    pilot_spacing : int
        Every so many symbols one is a pilot; 0: none.

    Raises
    ------
    RateError
        Not even the header and one index slice fit; names the symbols that they take.
    """
    places = [i for i, (layer, _) in enumerate(base) if layer == "indices"]
    lengths, grades = np.array([len(base[i][1]) for i in places], int), schemes["indices"]
    others = Plan.of(0.0, base, schemes, 0, tuple(places)).symbols
    symbols = np.array([[SegmentFormat(n, grade).symbols if n else 0 for grade in grades] for n in lengths.tolist()])
    sent = np.arange(len(places))
    # Schemes come in turn (`assign_formats`), so fewer slices may take more symbols: bisection would miss what fits.
    for count in range(len(places) - 1, 0, -1):
        sent = np.arange(count) * len(places) // count
        filled = sent[lengths[sent] > 0]
        payload = others + int(symbols[filled, np.arange(filled.size) % len(grades)].sum())
        if payload + pilot_count(payload, pilot_spacing) <= budget.symbols:
            break
    kept = {places[i] for i in sent.tolist()}
    plan = Plan.of(0.0, base, schemes, pilot_spacing, tuple(i for i in places if i not in kept))
    if plan.symbols <= budget.symbols:
        return plan
    per_pixel = math.ceil(1e5 * plan.symbols / pixels) / 1e5
    raise RateError(
        f"budget of {budget.symbols} symbols has no room for a header and a slice of the base layer here; "
        f"the least is {plan.symbols}, {per_pixel:.5f} per pixel"
    )
