"""Fixtures that the whole suite shares."""

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest_plugins = ["tests.running_services", "tests.tiny_model"]

SAMPLES = Path(__file__).parent.parent / "samples"

# Tensors are tiny here: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is long is slow too, so that `-m "not slow"` leaves out both."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def samples() -> list[Path]:
    """The panoramas that ship with the project, sorted: WebP, 1024×512."""
    return sorted(SAMPLES.glob("*.webp"))


@pytest.fixture(scope="session")
def panorama(samples: list[Path]) -> np.ndarray:
    """A real photograph at a size that is quick to code: uint8 `(128, 256, 3)`, read-only."""
    with Image.open(samples[0]) as image:
        array = np.array(image.convert("RGB").resize((256, 128), Image.Resampling.LANCZOS))
    array.flags.writeable = False
    return array


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a TCP port of 127.0.0.1 that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return find
