"""The wheel: one top-level name, and the command works from an empty folder, without a checkout and without extras.

A virtual environment of its own gets the wheel; heavy packages are those of the environment that runs the tests.
"""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_NEEDED = ("h5py", "matplotlib", "sionna", "tensorboard")
"""What only extras bring along. In the environment of the test, importing them fails."""

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, timeout: float = 240) -> str:
    """Standard output of a command that succeeds, without this checkout on its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PANOLINK"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `python` and `panolink` of an environment that has the wheel installed."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    scripts = environment / "bin"
    (packages,) = environment.glob("lib/python3*/site-packages")
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=environment)
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    for name in NOT_NEEDED:
        (packages / f"{name}.py").write_text(f'raise ImportError("{name} is not to be needed")\n')
    return scripts


def test_it_installs_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"panolink"}
    for part in (
        "services/receiver/servicer.py",
        "services/viewer/static/index.html",
        "samples/city.webp",
        *(f"proto/panolink/v1/{name}.proto" for name in ("channel", "link", "node", "receiver", "transmitter")),
        "weights/base.safetensors",
        "py.typed",
    ):
        assert f"panolink/{part}" in names
    assert len(names) == len(set(names))
    assert not [name for name in names if "services/viewer/web" in name or "node_modules" in name]


def test_help(scripts: Path, tmp_path: Path) -> None:
    assert "demo" in run(scripts / "panolink", "--help", cwd=tmp_path)
    assert "--config" in run(scripts / "panolink", "train", "--help", cwd=tmp_path)


@pytest.mark.long
def test_demo(scripts: Path, tmp_path: Path) -> None:
    printed = run(scripts / "panolink", "demo", "--json", "--seed", "1", "--out", "out", cwd=tmp_path)
    delivered = [json.loads(line) for line in printed.splitlines()]
    assert [Path(one["source"]).name for one in delivered] == ["city.webp", "forest.webp", "interior.webp"]
    assert all(one["delivered"] and one["vpsnr_db"] > 15 for one in delivered)
    assert not any(Path(one["source"]).is_relative_to(ROOT) for one in delivered)
    assert (tmp_path / "out" / "contact_sheet.png").exists()


def test_configurations_of_training_are_inside(scripts: Path, tmp_path: Path) -> None:
    code = "from panolink.training.config import TrainingConfig; print(TrainingConfig.load('base').profile)"
    assert run(scripts / "python", "-c", code, cwd=tmp_path) == "base\n"
