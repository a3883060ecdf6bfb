"""Rate allocation: what of a panorama is sent with a budget of symbols, and how well it is protected.

    coded = allocate(Coding(codec, picture), SymbolBudget.per_pixel(0.1, pixels=height * width), controller.choice())

One search decides it all, from costs that tables tell:

    1  resolution   the finest that leaves a step which is fine enough (`choose_resolution`), by the bits that the
                    budget has for features once the base layer is protected (`symbol_room`)
    2  step, λ      from a pilot of the tokens, corrected by a quantisation of all of them (`Quantizer.filled`)
    3  protection   the strongest schemes that the base layer can have within the budget (`protect`)
    4  threshold    the most tokens whose features fit (`fill`), judged by drafts of the packet
    5  packet       entropy-coded once, and up to twice more with less where it turns out longer than its draft

Layers are protected unequally, by what their loss does to the picture: each is given the fastest scheme that still
works when the SNR is so many decibels lower than expected (`SAFETY_DB`). A header that is lost costs the panorama, a
feature a little detail.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import Packet
from panolink.codec.quantization.am_vq import Enhancement, Ranking
from panolink.codec.rate_control.controller import LENGTH_BITS, RateController, Room, choose_resolution
from panolink.codec.resolution import candidates
from panolink.codec.slicing import feature_parts
from panolink.codec.streaming.changes import Changes
from panolink.codec.tokens import Tokens
from panolink.errors import RateError
from panolink.link.coding import Coded, Coding, slices_of
from panolink.link.symbol_budget import Plan, Slices, SymbolBudget
from panolink.link.thinning import thinned
from panolink.link.unequal_protection import SAFETY_DB, Choice, Fixed, Protection, Schemes
from panolink.phy.mcs import CRC_BITS, Scheme
from panolink.sphere.focus import Focus
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

LINK_FINE_ENOUGH = 6
"""quarter octaves: where a budget leaves a coarser step than that, the next smaller picture looks better. Sooner than
for a file (`panolink.codec.resolution`): a base layer that is protected well is dear, and a smaller picture's smaller.
Best of 4 to 12 on 11 validation panoramas at 0.03 to 0.2 symbols per pixel, by 0.3 dB over the file's"""

BASE_LAYER_MARGIN_SHARE = 0.35
"""share of a budget that the base layer may take to be safer than `SAFETY_DB` asks for"""

_FADING_RESERVE_DB = 1.0
"""margin that is kept: a burst meets a finite number of fades, and how well they average out differs"""

_FULL_ENOUGH = 0.985
"""share of a budget from which on nothing more is tried"""

_ATTEMPTS = 6
"""drafts on the way to it"""

_NO_BITS = np.empty(0, np.float32)
"""of tokens without features"""

_CORRECTIONS = 3
"""times that a packet is made, where the first turns out too long for its budget"""


def allocate(coding: Coding, budget: SymbolBudget, protection: Protection | None = None) -> Coded:
    """Code as much of a panorama as a budget has room for.

    Parameters
    ----------
    coding : Coding
        The panorama.
    budget : SymbolBudget
        For all segments and pilots.
    protection : Protection, optional
        What the channel allows; None: `Fixed`.

    Returns
    -------
    Coded
        With a plan of at most ``budget.symbols``: the base layer, and features as far as they fit; or what fits of the
        base layer alone.

    Raises
    ------
    RateError
        No room for a header and a slice of the base layer; names the symbols that they take.
    """
    protection = protection or Fixed()
    reductions = candidates(math.inf, coding.size)
    fine_enough = LINK_FINE_ENOUGH if coding.fine_enough is None else coding.fine_enough
    room = room_for(coding, budget, protection)
    with ExitStack() as quantizing:

        def at(reduction: Fraction) -> RateController:
            quantizing.close()  # the encoder's time is its own
            controller = coding.controller(reduction)
            quantizing.enter_context(coding.stage("quantize"))
            return controller

        found = choose_resolution(at, reductions, room, [fine_enough] * len(reductions))
        if found:
            controller, point, bits, coarsest = found
            ranking = Ranking(coding.codec.model.profile.ranking)
            enhancement = coding.codec.quantizer.filled(controller, point, bits, ranking, coarsest=coarsest)
    if found:
        return both_layers(coding, budget, protection, enhancement)
    return _base_layer(coding, budget, protection, reductions[-1])


def probe(coding: Coding, budget: SymbolBudget, choice: Choice) -> tuple[Coded, Choice]:
    """What fits most robustly where `allocate` has no room at the SNR that is counted on.

    A panorama that is refused for what the channel was like teaches nothing of what it is like now. So it is sent
    less safely, at the coarsest resolution, with the first of `Choice.less_safe` that fits.

    Parameters
    ----------
    coding : Coding
        The panorama.
    budget : SymbolBudget
        For all segments and pilots.
    choice : Choice
        What is too safe to fit.

    Returns
    -------
    coded : Coded
        What is sent.
    choice : Choice
        What it is sent with.

    Raises
    ------
    RateError
        No room even with the fastest schemes.
    """
    *_, coarsest = candidates(math.inf, coding.size)
    base = slices_of(coding.pack(coding.quantized(coarsest, tau=0.0)))

    def fits(tried: Choice) -> bool:
        try:
            _filled_by(base, coding, budget, tried)
        except RateError:
            return False
        return True

    choices = choice.less_safe() or [choice]
    found = choices[min(bisect_left(choices, True, key=fits), len(choices) - 1)]
    return _base_layer(coding, budget, found, coarsest), found


def both_layers(
    coding: Coding, budget: SymbolBudget, protection: Protection, enhancement: Enhancement | Changes
) -> Coded:
    """The base layer, and as much of an enhancement layer as a budget has room for; or of a stream's changes.

    How much that is, is found on drafts of the packet, whose lengths are those that tables let expect; only what is
    sent is entropy-coded. Where that turns out too long, it is done once more with so much less.
    """
    pixels, allowed = coding.size[0] * coding.size[1], budget

    def chosen(bpp: float) -> tuple[Any, NDArray[np.float32]]:
        """Tokens at a rate. Made anew for what is sent: those of all drafts would take ten times their memory."""
        return enhancement.within(bpp * pixels - base_bits) if bpp else (enhancement.worst(0.0), _NO_BITS)

    def draft(bpp: float) -> Slices:
        return slices_of(coding.draft(*chosen(bpp)))

    base_bits = 8 * sum(len(payload) for _, payload in draft(0.0))
    for _ in range(_CORRECTIONS):
        with coding.stage("quantize"):
            plan = fill(draft, allowed, protection, pixels=pixels, pilot_spacing=coding.pilot_spacing)
            tokens, _ = chosen(plan.bpp)
        packet = coding.pack(tokens)
        plan = plan.with_payloads(slices_of(packet), protect(draft(0.0), allowed, protection, coding.pilot_spacing))
        if plan.symbols <= budget.symbols:
            if isinstance(tokens, Tokens):
                tokens = replace(tokens, predicted=None)
            return Coded(tokens, packet, plan)
        allowed = SymbolBudget(max(1, allowed.symbols - 2 * (plan.symbols - budget.symbols)))
    raise RateError(f"budget of {budget.symbols} symbols: the packet is longer than its costs tell")


def _base_layer(coding: Coding, budget: SymbolBudget, protection: Protection, reduction: Fraction) -> Coded:
    """The base layer alone, or those slices of it that fit."""
    tokens = coding.quantized(reduction, tau=0.0)
    packet = coding.pack(tokens)
    return Coded(tokens, packet, _filled_by(slices_of(packet), coding, budget, protection))


def _filled_by(base: Slices, coding: Coding, budget: SymbolBudget, protection: Protection) -> Plan:
    """A budget filled by the base layer alone."""

    def pack(bpp: float) -> Slices:
        if bpp:
            raise RateError("the base layer alone is sent")
        return base

    pixels = coding.size[0] * coding.size[1]
    return fill(pack, budget, protection, pixels=pixels, pilot_spacing=coding.pilot_spacing)


def fill(
    pack: Callable[[float], Slices],
    budget: SymbolBudget,
    choice: Protection,
    *,
    pixels: int,
    pilot_spacing: int = 0,
) -> Plan:
    """The richest packet that fits into a budget of symbols.

    The base layer comes first. Its extra margin is given up as far as it would take more than
    `BASE_LAYER_MARGIN_SHARE` of the budget. If the base layer does not fit as safely as it should be sent, it is sent
    less safely; if it does not fit at the SNR that is expected, some index slices are left out, evenly, and concealment
    fills their rows. What is left goes to features: the rate of the source is found by regula falsi, since symbols grow
    with it almost in a line.

    Parameters
    ----------
    pack : callable
        Slices (layer, payload) of the panorama at a rate in bits per pixel, all bits counted; 0: base layer alone.
        Asked for several rates, of which one is chosen: nothing but the lengths of the payloads matters.
    budget : SymbolBudget
    choice : Protection
        What the channel allows.
    pixels : int
        Height × width of the panorama.
    pilot_spacing : int
        Every so many symbols one is a pilot; 0: none.

    Raises
    ------
    RateError
        Not even the header and one index slice fit; names the symbols that they take.
    """
    base = pack(0.0)
    schemes = protect(base, budget, choice, pilot_spacing)
    plan = Plan.of(0.0, base, schemes, pilot_spacing)
    if plan.symbols > budget.symbols:
        return thinned(base, budget, schemes, pixels=pixels, pilot_spacing=pilot_spacing)

    def at(bpp: float) -> Plan | None:
        try:
            return Plan.of(bpp, pack(bpp), schemes, pilot_spacing)
        except RateError:  # the codec's bits are not quite those counted here: so little is no enhancement
            return None

    best, low_bpp, high_bpp = _regula_falsi(at, plan, budget, pixels, _bits_per_symbol(schemes["features"]))
    return _best_between(at, best, low_bpp, high_bpp, budget, pixels) if high_bpp < math.inf else best


def _regula_falsi(
    at: Callable[[float], Plan | None], base: Plan, budget: SymbolBudget, pixels: int, bits_per_symbol: float
) -> tuple[Plan, float, float]:
    """The richest plan that was met; the highest rate that fits, and the lowest that does not (inf: none was met)."""
    best = low = base
    low_bpp, high, high_bpp = _bpp_of(base, pixels), None, math.inf
    guess = low_bpp + (budget.symbols - base.symbols) * bits_per_symbol / pixels
    for _ in range(_ATTEMPTS):
        plan = at(guess) if guess > low_bpp * 1.0005 else None
        if plan is None:
            break
        used = min(guess, _bpp_of(plan, pixels))
        if plan.symbols <= budget.symbols:
            stuck = plan.symbols == low.symbols and low is not best
            low, low_bpp, best = plan, used, max(best, plan, key=lambda p: _bpp_of(p, pixels))
            if plan.symbols >= _FULL_ENOUGH * budget.symbols or stuck:
                break
        else:
            high, high_bpp = plan, min(used, high_bpp)
        if high is None:
            guess += (budget.symbols - low.symbols) * bits_per_symbol / pixels
        else:
            slope = (high_bpp - low_bpp) / max(high.symbols - low.symbols, 1)
            guess = low_bpp + slope * (0.995 * budget.symbols - low.symbols)
    return best, low_bpp, high_bpp


def _best_between(
    at: Callable[[float], Plan | None],
    best: Plan,
    low_bpp: float,
    high_bpp: float,
    budget: SymbolBudget,
    pixels: int,
) -> Plan:
    """Symbols do not grow evenly: with its length a slice comes by another scheme. More may fit than was tried."""
    for share in (0.8, 0.6, 0.4, 0.2):
        guess = low_bpp + share * (high_bpp - low_bpp)
        plan = at(guess) if guess > _bpp_of(best, pixels) * 1.005 else None
        if plan is None:
            break
        if plan.symbols <= budget.symbols:
            return max(best, plan, key=lambda p: _bpp_of(p, pixels))
    return best


def protect(base: Slices, budget: SymbolBudget, choice: Protection, pilot_spacing: int = 0) -> Schemes:
    """The schemes of all layers with which a budget is to be filled: as safe as the base layer may be sent in it.

    Parameters
    ----------
    base : Slices
        The base layer; its lengths matter.
    budget : SymbolBudget
    choice : Protection
        What the channel allows.
    pilot_spacing : int
        Every so many symbols one is a pilot; 0: none.

    Returns
    -------
    Schemes
        Strong enough for `SAFETY_DB` and the extra margin, less what had to be given up of both by half decibels.
    """
    lowered, extra_db = 0.0, choice.base_layer_margin_db
    most = extra_db + SAFETY_DB["indices"][0] - (_FADING_RESERVE_DB if choice.fading else 0.0)
    schemes = choice.schemes()
    symbols = Plan.of(0.0, base, schemes, pilot_spacing).symbols
    while lowered < most and symbols > budget.symbols * (BASE_LAYER_MARGIN_SHARE if lowered < extra_db else 1):
        lowered += 0.5
        schemes = choice.schemes(lowered_db=lowered)
        symbols = Plan.of(0.0, base, schemes, pilot_spacing).symbols
    return schemes


def room_for(coding: Coding, budget: SymbolBudget, protection: Protection) -> Room:
    """`symbol_room` of a panorama."""
    return symbol_room(
        budget,
        protection,
        size=coding.size,
        pilot_spacing=coding.pilot_spacing,
        sphere=coding.sphere,
        focus=coding.focus,
    )


def symbol_room(
    budget: SymbolBudget,
    choice: Protection,
    *,
    size: tuple[int, int],
    pilot_spacing: int = 0,
    sphere: SphereMetadata = NOTHING_KNOWN,
    focus: tuple[Focus, ...] = (),
) -> Room:
    """Bits that a budget of symbols leaves for mask and features of a panorama, as the codec's rate control asks for.

    Parameters
    ----------
    budget : SymbolBudget
    choice : Protection
        What the channel allows.
    size : (int, int)
        Height and width.
    pilot_spacing : int
        Every so many symbols one is a pilot; 0: none.
    sphere, focus : SphereMetadata, tuple of Focus
        What the packet's header carries besides.
    """

    def room(index_bytes: Sequence[int], mask_bits: float) -> float:
        indices = [bytes(count) for count in index_bytes]
        packet = Packet.build(
            fingerprint="00" * 8, size=size, step=-1, mask=b"", indices=indices, features=[], focus=focus
        )
        packet = packet.with_metadata(sphere)
        base = slices_of(packet)
        schemes = protect(base, budget, choice, pilot_spacing)
        left = budget.symbols - Plan.of(0.0, base, schemes, pilot_spacing).symbols
        if pilot_spacing:
            left *= 1 - 1 / pilot_spacing
        if left < 0:
            return -1.0
        bits_per_symbol = _bits_per_symbol(schemes["features"])
        left -= (mask_bits + CRC_BITS) / schemes["mask"][0].bits_per_symbol
        parts = len(index_bytes) * feature_parts(left * bits_per_symbol, len(index_bytes))
        left -= LENGTH_BITS * (1 + parts) / schemes["header"][0].bits_per_symbol
        bits = left * bits_per_symbol - CRC_BITS * parts
        return max(bits + mask_bits + LENGTH_BITS * (1 + parts), 0.0)  # lengths: rate control counts them, too

    return room


def _bpp_of(plan: Plan, pixels: int) -> float:
    """Bits of a packet's slices ÷ pixels."""
    return 8 * sum(len(payload) for _, payload in plan.slices) / pixels


def _bits_per_symbol(runs: Sequence[Scheme]) -> float:
    """Of a layer whose runs of slices, of as many bytes each, have these schemes."""
    return len(runs) / sum(1 / scheme.bits_per_symbol for scheme in runs)
