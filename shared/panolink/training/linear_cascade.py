"""Starting the paper's networks as what they can be at once: a cascade of linear transforms of 2×2 blocks.

::

    x ─ +1 ─ [ 2×2 Karhunen–Loève transform ] × 4 ─ the first d components ─ F
    F ─ [ its transpose ] × 4 ─ x̂

Convolutions hold the transforms in their middle taps; residual blocks add nothing, since the scales of their last batch
norms are zero; what enters a ReLU is lifted above zero, and lowered again behind it. So the networks begin with the
quality of a block transform, whose codes k-means finds, and training has to make better what is there rather than to
find it. Units that the cascade leaves free begin with random weights behind them and none after them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panolink.codec.networks.blocks import PaperResidualBlock
from panolink.codec.networks.decoder import PaperDecoder
from panolink.codec.networks.encoder import PaperEncoder
from panolink.sphere.padding import SphereConv2d
from panolink.training.frozen_batch_norm import calibrate, pass_through

DEVIATIONS = 6.0
"""by which a channel is lifted above zero at most; components of pictures have long tails"""

CHUNK = 16
"""pictures in a network at a time"""


@torch.no_grad()
def start_as_linear_cascade(encoder: PaperEncoder, decoder: PaperDecoder, crops: Tensor) -> None:
    """Set both networks to a linear cascade fitted on crops, in place, and calibrate their batch norms on them.

    Parameters
    ----------
    encoder, decoder : PaperEncoder, PaperDecoder
        Of one profile, with random weights.
    crops : (n, 3, H, W)
        In [0, 255]; a few hundred of training panoramas.
    """
    bases, features = _start_encoder(encoder, crops / 127.5 - 1)
    _start_decoder(decoder, features, bases)


def _start_encoder(encoder: PaperEncoder, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Bases (components, components before, 2, 2) by octave, and what the network gives for ``x``, without its unit."""
    first, _, *stages, relu, last, norm = encoder.body
    assert isinstance(first, SphereConv2d) and isinstance(last, SphereConv2d) and isinstance(norm, nn.BatchNorm2d)
    used, offset = 3, x.new_ones(3)
    _connect(first, _identity(3, x), offset)
    x = _run([first, nn.ReLU()], x)
    bases = []
    for layer in stages:
        if isinstance(layer, PaperResidualBlock):
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


def _start_decoder(decoder: PaperDecoder, x: Tensor, bases: list[Tensor]) -> None:
    first, relu, *stages, last = decoder.body
    assert isinstance(first, SphereConv2d) and isinstance(last, SphereConv2d)
    used = min(len(bases[-1]), first.in_channels)
    offset = _lift(x[:, :used])
    _connect(first, _identity(used, x), offset)
    x = _run([first, relu], x)
    for octave, basis in enumerate(reversed(bases)):
        block, upsample, conv, norm, relu = stages[5 * octave : 5 * octave + 5]
        assert isinstance(block, PaperResidualBlock) and isinstance(upsample, nn.ConvTranspose2d)
        assert isinstance(conv, SphereConv2d) and isinstance(norm, nn.BatchNorm2d)
        _calibrate_block(block, x)
        block.body[-1].bias[:used] = -offset  # type: ignore[index]
        inside = min(basis.shape[1], upsample.out_channels)
        _connect_transposed(upsample, basis[:used, :inside])
        x = _run([block, upsample], x)
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


def _calibrate_block(block: PaperResidualBlock, x: Tensor) -> None:
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
