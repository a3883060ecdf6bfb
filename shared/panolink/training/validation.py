"""Validation on whole panoramas: rate by ideal code lengths, quality on viewports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.execution import mixed_precision
from panolink.images import resized
from panolink.metrics.perceptual import LPIPS, viewport_distance
from panolink.metrics.viewport import viewport_scores
from panolink.sphere.latitude import latitudes
from panolink.sphere.padding import set_wrap
from panolink.training.codebook_ema import CodebookAverager
from panolink.training.context_rate import ContextRate
from panolink.training.idle_units import idle_units
from panolink.training.soft_quantization import code_batch

OPERATING_POINTS = ((16, -1.0), (12, -1.0), (8, -1.0), (4, -1.0), (0, -1.0))
"""(step in quarter octaves, share; negative: what pays), from coarse to fine, before them the base layer alone"""

RATES = (0.1, 0.2, 0.4)
"""bits per pixel at which measures are reported, between those of the operating points"""


def shrink(panorama: np.ndarray, width: int) -> np.ndarray:
    """Scale a panorama by Lanczos.

    Parameters
    ----------
    panorama : uint8 (H, W, 3)
        Twice as wide as high.
    width : int
        A multiple of 32.

    Returns
    -------
    uint8 (width / 2, width, 3)
    """
    if panorama.shape[1] == width:
        return np.ascontiguousarray(panorama)
    return resized(panorama, (width // 2, width))


@torch.no_grad()
def validate(
    model: Autoencoder,
    averager: CodebookAverager,
    panoramas: Sequence[np.ndarray],
    *,
    device: torch.device,
    perceive: LPIPS | None = None,
    context: ContextRate | None = None,
) -> dict[str, float]:
    """Mean bpp, VPSNR and VSSIM over panoramas at each operating point, and at `RATES`.

    Bits are ideal code lengths: the empirical entropy of the indices, their classes' distributions for differences, the
    entropy of the mask. The bitstream's true figures come from the benchmark; these only choose checkpoints.

    Parameters
    ----------
    model : Autoencoder
    averager : CodebookAverager
    panoramas : sequence of uint8 (H, W, 3)
        Their sides are multiples of 16.
    device : torch.device
    perceive : LPIPS, optional
        Its distance too, under names of its own.
    context : ContextRate, optional
        Of the run, where it estimates bits.

    Returns
    -------
    dict of str to float
        By names such as ``vpsnr_at_0.1``; ``idle`` is the share of `idle_units`.
    """
    model.eval()
    set_wrap(model, True)
    codes = model.codebook.shape[0]
    results: dict[tuple[int, float], list[tuple[float, ...]]] = {}
    histogram = torch.ones(codes)
    for panorama in panoramas:
        pixels = torch.tensor(panorama).permute(2, 0, 1)[None].float().to(device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        original = pixels[0] / 255
        with mixed_precision(device.type):
            features = model.encoder(pixels)
        latitude = latitudes(features.shape[2], device=device)[None]
        for step, share in ((0, 0.0), *OPERATING_POINTS):
            coded = code_batch(
                model,
                averager,
                features,
                latitude,
                step=torch.tensor([step], device=device),
                share=torch.tensor([share], device=device),
                wrap=True,
                ranking=model.profile.ranking,
                context=context,
            )
            histogram += torch.bincount(coded.indices.flatten().cpu(), minlength=codes)
            with mixed_precision(device.type):
                image = model.decoder(coded.received, coded.guidance)
            picture = image[0].float().clamp(0, 255).round() / 255
            scores = viewport_scores(original, picture)
            seen = viewport_distance(perceive, original, picture) if perceive is not None else 0.0
            tau = float(coded.kept.float().mean())
            mask = 0.0 if tau in (0.0, 1.0) else -tau * np.log2(tau) - (1 - tau) * np.log2(1 - tau)
            bpp = (float(coded.bits.sum()) + mask * coded.kept.numel()) / pixels[0, 0].numel()
            results.setdefault((step, share), []).append((bpp, scores.vpsnr_db, scores.vssim, seen))
    idle = idle_units(model, torch.tensor(panoramas[0]).permute(2, 0, 1)[None].to(device))
    set_wrap(model, False)
    model.train()
    pmf = histogram / histogram.sum()
    index_bpp = float(-(pmf * pmf.log2()).sum()) / model.profile.factor**2
    means = np.array([np.mean(points, axis=0) for points in results.values()]) + np.array([index_bpp, 0, 0, 0])
    names = ("vpsnr", "vssim") if perceive is None else ("vpsnr", "vssim", "lpips")
    report = {"idle": idle} | {f"bpp{i}": float(point[0]) for i, point in enumerate(means)}
    ordered = means[means[:, 0].argsort()]
    for column, name in enumerate(names, 1):
        report |= {f"{name}{i}": float(point[column]) for i, point in enumerate(means)}
        for rate in RATES:
            value = np.interp(np.log(rate), np.log(ordered[:, 0]), ordered[:, column])
            report[f"{name}_at_{rate}"] = float(value)
    return report
