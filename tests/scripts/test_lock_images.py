"""What the images install is written down with hashes, and is what the project asks for."""

import re
import tomllib

import pytest

from scripts.lock_images import IMAGES, LOCKS, OF_TORCH, ROOT, name_of, requirements

PINNED = {
    name_of(line): line.partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line and not line.startswith("#")
}


def locked(image: str) -> dict[str, list[str]]:
    """Versions of each package in an image's file."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=\S)", (LOCKS / f"{image}.txt").read_text().strip())[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
        version = re.match(r"[^=]+==([^ ;]+)", block)
        assert version, block
        found.setdefault(name_of(block), []).append(version[1])
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_locks_hold_what_is_asked_for_in_the_versions_of_the_constraints(image: str) -> None:
    """Run scripts/lock_images.py if they do not."""
    packages = locked(image)
    asked = {name_of(one) for one in requirements(image)}
    assert asked - ({"torch"} if image == "cpu" else set()) <= set(packages)
    for name, versions in packages.items():
        if name in PINNED:
            assert versions == [PINNED[name]], name
    of_torch = {name for name in packages if OF_TORCH.fullmatch(name)}
    if image == "cuda":
        assert {"torch", "triton", "nvidia-cublas"} <= of_torch
    else:  # the build for CPUs comes by version, and what it needs with hashes
        assert not of_torch and ("sympy" in packages) == (image == "cpu")


@pytest.mark.parametrize("image", ["cpu", "cuda"])
def test_images_read_every_format_that_the_package_can(image: str) -> None:
    formats = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["formats"]
    assert formats and {name_of(one) for one in formats} <= set(locked(image))


def test_the_dockerfile_installs_nothing_else() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    into_images = re.findall(r"pip --python /opt/panolink/bin/python install ([^&\n]*)", dockerfile)
    assert len(into_images) == 3
    for options in into_images:
        assert "--no-deps" in options and ("--require-hashes" in options or "/wheels/" in options)
