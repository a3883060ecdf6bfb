"""The client in another language works from the .proto files and the page alone. Needs Node and its packages."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.rpc.server.server import Server

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "node"


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with the client's packages installed."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        pytest.skip("needs Node and npm")
    if not (FOLDER / "node_modules").exists():
        done = subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=FOLDER, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm ci: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
    return program


async def test_it_sends_and_saves_what_comes_back(
    start: Callable[..., Awaitable[Server]], node: str, tmp_path: Path, panorama: np.ndarray
) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    Image.fromarray(panorama).save(tmp_path / "pano.png")
    Image.fromarray(panorama[:, :128]).save(tmp_path / "square.png")
    command = [node, str(FOLDER / "client.mjs"), transmitter.address, "pano.png", "square.png"]
    done = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, "one of the two was refused"
    assert re.search(r"^pano\.png: 0\.\d{3} bpp, 0 segments lost, pano\.png\.received\.png$", done.stdout, re.M)
    assert "square.png: INVALID_ARGUMENT: square.png: 128×128 is not 2:1" in done.stdout
    with Image.open(tmp_path / "pano.png.received.png") as picture:
        assert picture.size == (256, 128)


async def test_an_address_where_nobody_answers_is_one_line(
    node: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    target = f"127.0.0.1:{free_port()}"
    done = await asyncio.to_thread(
        subprocess.run, [node, str(FOLDER / "client.mjs"), target], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{target}: UNAVAILABLE:") and len(done.stderr.splitlines()) == 1


def test_its_lock_file_names_no_registry() -> None:
    assert "resolved" not in (FOLDER / "package-lock.json").read_text()
