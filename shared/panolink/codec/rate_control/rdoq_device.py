"""`panolink.codec.rate_control.rdoq` in plain torch operations, for features on a GPU: the same symbols, to the bit."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.entropy.device_network import on_device
from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS
from panolink.codec.entropy.scale_adaptation import (
    CONFIDENCE_BOUNDS,
    MAX_COUNTED_MAGNITUDE,
    OFFSET,
    RATIO_BOUNDS,
)
from panolink.codec.entropy.tables import CLASSES, CONFIDENCE_LEVELS, LEVEL_ZERO, MAX_MAGNITUDE, UNIT, Tables
from panolink.codec.rate_control.rdoq import COARSEST, FACTORS, LARGEST_SYMBOL


class DeviceChoice:
    """Chooses symbols with one model's tables, held on a device.

    Parameters
    ----------
    tables : Tables
    lengths : float32 (CLASSES, MAX_MAGNITUDE + 2)
    device : torch.device
    """

    def __init__(self, tables: Tables, lengths: NDArray[np.float32], device: torch.device) -> None:
        self._levels, self._adaptation, self._expected_magnitude = (
            on_device(table, device, torch.int32) for table in (tables.levels, tables.shifts, tables.expected_magnitude)
        )
        self._lengths, self._sign_bits, self._factors = (
            on_device(table, device, torch.float32) for table in (lengths, SIGN_BITS, FACTORS)
        )
        self._groups = tables.groups
        self._ratios, self._confidences = (
            on_device(bounds, device, torch.int64) for bounds in (RATIO_BOUNDS, CONFIDENCE_BOUNDS)
        )

    def __call__(
        self, difference: Tensor, codes: Tensor, steps: Tensor, shifts: Tensor, log_odds: Tensor, lmbda: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols int16 (n, dim), bits and gain float32 (n,) of n tokens: see `rdoq.choose_symbols`.

        Parameters
        ----------
        difference : float32 (n, dim)
        codes, steps : int64 (n,)
        shifts, log_odds : int8 (n, dim)
        lmbda : float
        """
        plain = (self._levels[codes] - (LEVEL_ZERO - 16 + steps[:, None]).int()).clamp(max=CLASSES - 1)
        plain = torch.where(plain > 0, (plain + shifts).clamp(1, CLASSES - 1), 0)
        value = difference * self._factors[steps + COARSEST][:, None]
        odds = torch.where(value > 0, log_odds, -log_odds).int()
        signs = self._sign_bits[odds + MAX_LOG_ODDS] - 1
        weight = float(np.float32(lmbda))
        symbols = torch.zeros_like(value, dtype=torch.int16)
        bits, gain = (torch.zeros_like(value[:, 0]) for _ in range(2))
        found, expected = (torch.zeros_like(steps) for _ in range(2))
        for group, dims in enumerate(self._groups):
            shift = self._adaptation[group][self._context(found, expected)][:, None]
            scale = torch.where(plain[:, dims] > 0, (plain[:, dims] + shift).clamp(1, CLASSES - 1), 0)
            best, taken = self._best(value[:, dims].abs(), scale, signs[:, dims], weight)
            symbols[:, dims] = torch.where(value[:, dims] > 0, best, -best).to(torch.int16)
            magnitude, chosen = value[:, dims].abs(), best.float()
            saved = chosen * (2 * magnitude - chosen)
            for place in range(best.shape[1]):  # in the order of dimensions: float32 sums depend on it
                bits, gain = bits + taken[:, place], gain + saved[:, place]
            found = (5 * found >> 3) + UNIT * best.clamp(max=MAX_COUNTED_MAGNITUDE).sum(dim=1)
            expected = (5 * expected >> 3) + self._expected_magnitude[plain[:, dims]].sum(dim=1)
        return symbols, bits, gain

    def _best(self, magnitude: Tensor, scale: Tensor, signs: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """The best of the nearest integer, the one below it, and zero, int64; and its bits."""
        sent, best = scale > 0, torch.zeros_like(scale, dtype=torch.int64)
        taken = self._lengths[scale, 0]
        cost = magnitude * magnitude + weight * taken
        nearest = (magnitude + 0.5).clamp(max=LARGEST_SYMBOL).long()
        for candidate in (nearest - 1, nearest):
            candidate_bits = self._lengths[scale, candidate.clamp(0, MAX_MAGNITUDE + 1)] + signs
            error = magnitude - candidate
            candidate_cost = error * error + weight * candidate_bits
            better = sent & (candidate >= 1) & (candidate_cost < cost)
            best, taken = torch.where(better, candidate, best), torch.where(better, candidate_bits, taken)
            cost = torch.where(better, candidate_cost, cost)
        return best, torch.where(sent, taken, 0)

    def _context(self, observed: Tensor, expected: Tensor) -> Tensor:
        """See `panolink.codec.entropy.scale_adaptation.adaptation_context`."""
        ratio = torch.div((observed + OFFSET) << 12, expected + OFFSET, rounding_mode="floor")
        level = (ratio[:, None] >= self._ratios).sum(dim=1)
        return level * CONFIDENCE_LEVELS + (expected[:, None] >= self._confidences).sum(dim=1)
