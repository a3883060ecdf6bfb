"""Write what the images install, with versions and hashes: deploy/docker/locks.

python scripts/lock_images.py            after a change of requirements in pyproject.toml, or of constraints.txt

pip installs these files with --require-hashes and --no-deps: nothing that is not in them, and no file that is not the
one that was there when they were made. With CUDA that is torch, too, and all of NVIDIA's that it needs. The build for
CPUs is installed by itself (deploy/docker/install_torch.py), by version: docs/security.md says why.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "deploy/docker/locks"

IMAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # A channel does without what the networks, the codec and the receiving half of the radio need.
    "channel": (("tracing",), ("av", "numba", "pillow", "safetensors", "scipy", "torch")),
    "cpu": (("tracing", "viewer", "formats"), ()),
    "cuda": (("tracing", "viewer", "formats", "gpu"), ()),
}
"""Extras that an image has, and packages that it does without."""

OF_TORCH = re.compile(r"torch|triton|cuda-.*|nvidia-(?!ml-py).*")
"""Packages of the build with CUDA, the only one that PyPI has for Linux on x86-64."""


def name_of(requirement: str) -> str:
    """The package's name, as registries spell it."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def requirements(image: str) -> list[str]:
    """What an image asks for, without what that needs in turn."""
    extras, without = IMAGES[image]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    if unknown := set(without) - set(map(name_of, wanted)):
        raise SystemExit(f"pyproject.toml does not ask for {', '.join(sorted(unknown))}")
    return [one for one in wanted if name_of(one) not in without]


def locked(image: str) -> str:
    """The file for an image: each package with its version, marker and hashes."""
    command = ["uv", "pip", "compile", "-", "--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"]
    command += ["--no-header", "--no-annotate", "--constraints", str(ROOT / "constraints.txt")]
    done = subprocess.run(command, input="\n".join(requirements(image)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    blocks = re.split(r"\n(?=\S)", done.stdout.strip())
    kept = [block for block in blocks if image == "cuda" or not OF_TORCH.fullmatch(name_of(block))]
    return "# Written by scripts/lock_images.py.\n" + "\n".join(kept) + "\n"


def main() -> None:
    """Write all files."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        (LOCKS / f"{image}.txt").write_text(locked(image))
        print(LOCKS / f"{image}.txt", file=sys.stderr)


if __name__ == "__main__":
    main()
