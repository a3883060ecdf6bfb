"""Starting networks as what they can be at once: a cascade of linear transforms of 2×2 blocks.

::

    x ─ +1 ─ [ 2×2 Karhunen–Loève transform ] × octaves ─ the first d components ─ F
    F ─ [ its transpose ] × octaves ─ x̂

Convolutions hold the transforms in their middle taps; residual blocks add nothing, since the scales of their last batch
norms are zero; what enters a ReLU is lifted above zero, and lowered again behind it. So the networks begin with the
quality of a block transform, whose codes k-means finds, and training has to make better what is there rather than to
find it. Units that the cascade leaves free begin with random weights behind them and none after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panolink.codec.networks.blocks import NETWORK_UNIT, ResidualBlock
from panolink.codec.networks.decoder import GUIDANCE_PLANES, BaseDecoder, PaperDecoder
from panolink.codec.networks.encoder import BaseEncoder, PaperEncoder
from panolink.sphere.padding import SphereConv2d
from panolink.training.frozen_batch_norm import calibrate, pass_through

DEVIATIONS = 6.0
"""by which a channel is lifted above zero at most; components of pictures have long tails"""

CHUNK = 16
"""pictures in a network at a time"""

Encoder: TypeAlias = PaperEncoder | BaseEncoder
Decoder: TypeAlias = PaperDecoder | BaseDecoder


@torch.no_grad()
def start_as_linear_cascade(encoder: Encoder, decoder: Decoder, crops: Tensor) -> None:
    """Set both networks to a linear cascade fitted on crops, in place, and calibrate their batch norms on them.

    Parameters
    ----------
    encoder, decoder : PaperEncoder, PaperDecoder or BaseEncoder, BaseDecoder
        Of one profile, as they are made: with random weights, what is beside their bodies zero.
    crops : (n, 3, H, W)
        In [0, 255]; a few hundred of training panoramas.
    """
    bases, features = _start_encoder(encoder.body, encoder.inputs(crops))
    guidance = features.new_zeros(len(features), GUIDANCE_PLANES, *features.shape[-2:])
    _start_decoder(decoder.body, decoder.inputs(features * NETWORK_UNIT, guidance), bases)


def _start_encoder(body: nn.Sequential, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Bases (components, components before, 2, 2) by octave, and what the body gives for ``x``."""
    first, _, *stages, relu, last, norm = body
    assert isinstance(first, SphereConv2d) and isinstance(last, SphereConv2d) and isinstance(norm, nn.BatchNorm2d)
    used = min(first.in_channels, first.out_channels)
    offset = x.new_ones(used)
    _connect(first, _identity(used, x), offset)
    x = _run([first, nn.ReLU()], x)
    bases = []
    for layer in stages:
        if isinstance(layer, ResidualBlock):
            _calibrate_block(layer, x)
        else:
            assert isinstance(layer, SphereConv2d)
            basis = _components(x[:, :used] - offset[:, None, None], layer.out_channels)
            _connect(layer, basis, -basis.sum(dim=(2, 3)) @ offset)
            bases.append(basis)
            used, offset = len(basis), x.new_zeros(len(basis))
        x = _run([layer], x)
    offset = _lift(x[:, :used])
    assert isinstance(stages[-1], SphereConv2d) and stages[-1].bias is not None
    stages[-1].bias[:used] += offset
    x[:, :used] += offset[:, None, None]
    dims = min(used, last.out_channels)
    _connect(last, _identity(used, x)[:dims], -offset[:dims])
    x = _run([relu, last], x)
    calibrate(norm, x)
    pass_through(norm, dims)
    return bases, _run([norm], x)


def _start_decoder(body: nn.Sequential, x: Tensor, bases: list[Tensor]) -> None:
    """The other way round; ``x`` is what the body takes: features, and guidance beside them."""
    first, *stages, last = body
    assert isinstance(first, SphereConv2d) and isinstance(last, SphereConv2d)
    used = min(len(bases[-1]), first.in_channels, first.out_channels)
    lifted = isinstance(stages[0], nn.ReLU)
    offset = _lift(x[:, :used]) if lifted else x.new_zeros(used)
    _connect(first, _identity(used, x), offset)
    x = _run([first, stages.pop(0)] if lifted else [first], x)
    layers, remaining = iter(stages), list(bases)
    lowering: ResidualBlock | None = None  # the last one before an octave: a transposed convolution cannot do it
    for layer in layers:
        if isinstance(layer, ResidualBlock):
            _calibrate_block(layer, x)
            lowering = layer
            continue
        conv, norm, relu = next(layers), next(layers), next(layers)
        assert isinstance(layer, nn.ConvTranspose2d)
        assert isinstance(conv, SphereConv2d) and isinstance(norm, nn.BatchNorm2d)
        if lowering is None:
            assert not offset.any()
        else:
            lowering.body[-1].bias[:used] = -offset  # type: ignore[index]
        basis = remaining.pop()
        inside = min(basis.shape[1], layer.out_channels)
        _connect_transposed(layer, basis[:used, :inside])
        x = _run([layer] if lowering is None else [lowering, layer], x)
        lowering = None
        used = min(inside, conv.out_channels)
        _connect(conv, _identity(inside, x)[:used], None)
        x = _run([conv], x)
        calibrate(norm, x)
        offset = _lift(x[:, :used])
        pass_through(norm, used, offset)
        x = _run([norm, relu], x)
    _connect(last, _identity(used, x), -offset)


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, device=like.device)


def _connect(conv: SphereConv2d, matrix: Tensor, bias: Tensor | None) -> None:
    """Have a convolution's first outputs be a linear map of its first inputs.

    ``matrix`` (outputs, inputs) acts on a sample, (outputs, inputs, 2, 2) on it and those right of it and below. Of no
    bias where that is None.
    """
    outputs, inputs = matrix.shape[:2]
    conv.weight[:outputs] = 0
    taps = matrix.reshape(outputs, inputs, *(matrix.shape[2:] or (1, 1)))
    middle = slice(conv.margin, conv.margin + taps.shape[2])
    conv.weight[:outputs, :inputs, middle, middle] = taps
    if bias is not None:
        assert conv.bias is not None
        conv.bias[:outputs] = bias


def _connect_transposed(upsample: nn.ConvTranspose2d, basis: Tensor) -> None:
    """Have a transposed convolution's first outputs be blocks put together from components, (inputs, outputs, 2, 2)."""
    inputs, outputs = basis.shape[:2]
    upsample.weight[:, :outputs] = 0
    upsample.weight[:inputs, :outputs] = basis
    assert upsample.bias is not None
    upsample.bias[:outputs] = 0


def _calibrate_block(block: ResidualBlock, x: Tensor) -> None:
    """Calibrate a residual block, and have it add nothing."""
    conv, norm, relu, second, last = block.body
    assert isinstance(norm, nn.BatchNorm2d) and isinstance(last, nn.BatchNorm2d)
    hidden = _run([conv], x)
    calibrate(norm, hidden)
    calibrate(last, _run([norm, relu, second], hidden))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


def _components(x: Tensor, most: int) -> Tensor:
    """Principal components of 2×2 blocks about zero, orthonormal: (components, channels, 2, 2), at most ``most``."""
    moments = torch.zeros(4 * x.shape[1], 4 * x.shape[1], dtype=torch.float64)
    for chunk in x.split(CHUNK):
        blocks = F.unfold(chunk, 2, stride=2).transpose(1, 2).flatten(0, 1)
        moments += (blocks.T @ blocks).double().cpu()
    _, vectors = torch.linalg.eigh(moments)
    return vectors.flip(1)[:, :most].T.float().reshape(-1, x.shape[1], 2, 2).to(x.device)


def _lift(x: Tensor) -> Tensor:
    """(channels,): what lifts each channel above zero, all but the far ends of its tails."""
    lowest = -x.amin(dim=(0, 2, 3))
    deviation, mean = torch.std_mean(x, dim=(0, 2, 3))
    return torch.minimum(1.05 * lowest, DEVIATIONS * deviation - mean).clamp_min(0)


def _run(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Layers one after the other, some pictures at a time, with batch norms as they are calibrated."""
    network = nn.Sequential(*layers).eval()
    return torch.cat([network(chunk) for chunk in x.split(CHUNK)])
