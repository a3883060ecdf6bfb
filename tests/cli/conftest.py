"""The command line: in this process where that will do; as processes where they matter."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from panolink.cli.app import app
from tests.cli.helpers import running


@pytest.fixture
def panolink() -> Callable[..., Result]:
    """Run a command in this process."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def small(panorama: np.ndarray, tmp_path: Path) -> Path:
    """A small panorama in a file, 256×128."""
    path = tmp_path / "small.png"
    Image.fromarray(panorama).save(path)
    return path


@pytest.fixture(scope="module")
def link() -> Iterator[dict[str, Any]]:
    """The three services, and where they listen."""
    with running("--snr", "20", "--seed", "1") as (_, places):
        yield places
