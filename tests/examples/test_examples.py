"""The examples run as they are written."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.rpc.server.server import Server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(tmp_path: Path, panorama: np.ndarray) -> Path:
    path = tmp_path / "small.png"
    Image.fromarray(panorama).save(path)
    return path


def run(example: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_link_without_services(small: Path) -> None:
    printed = run("link_without_services.py", small)
    assert re.search(r"\d+ symbols, 0\.\d+ per pixel", printed)
    assert re.search(r"VPSNR \d+\.\d\d dB", printed)


def test_codec_only(small: Path) -> None:
    assert len(re.findall(r"0\.\d+ bpp: VPSNR \d+\.\d\d dB, VSSIM 0\.\d+", run("codec_only.py", small))) == 3


def test_custom_channel(tmp_path: Path, panorama: np.ndarray) -> None:
    path = tmp_path / "larger.png"
    Image.fromarray(panorama).resize((512, 256)).save(path)
    printed = run("custom_channel.py", path)
    assert sum(int(lost) for lost in re.findall(r": (\d+) of \d+ segments lost", printed)) > 0


async def test_client(start: Callable[..., Awaitable[Server]], small: Path) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    printed = await asyncio.to_thread(run, "client.py", transmitter.address, small, small.with_name("missing.png"))
    assert re.search(r"small\.png: 0\.\d+ bpp, 0 lost, \d+\.\d\d s", printed)
    assert "missing.png: INVALID_ARGUMENT" in printed
