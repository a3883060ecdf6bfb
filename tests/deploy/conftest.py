"""A container engine, where one can be had and its tests are wanted: images are built and run, which takes minutes."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import docker
import docker.errors
import pytest

from tests.deploy.stack import IMAGES, Stack

WANTED = "PANOLINK_TEST_DEPLOY"
BASE_IMAGE = "python:3.11-slim"  # what the Dockerfile begins with


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A reachable Docker engine with `docker compose`; tests that ask for it are skipped, and say why, without."""
    if not os.environ.get(WANTED):
        pytest.skip(f"builds images and runs them, only where that is asked for: make test-deploy, or {WANTED}=1")
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine can be reached: {error}")
    try:
        subprocess.run(["docker", "compose", "version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is a Docker engine, but no `docker compose` (version 2.24 or newer)")
    yield client
    client.close()


@pytest.fixture(scope="session")
def settings(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What all stacks of these tests have in common, and images, built from this tree."""
    try:
        engine.images.get(BASE_IMAGE)
    except docker.errors.ImageNotFound:
        try:
            engine.images.pull(*BASE_IMAGE.split(":"))
        except docker.errors.APIError as error:
            pytest.skip(f"there is a Docker engine, but {BASE_IMAGE} is neither here nor to be had: {error}")
    common: dict[str, object] = {"IMAGE_TAG": "test", "PROMETHEUS_TAG": prometheus_tag(engine)}
    build = Stack(engine, "panolink-test-build", common)
    build.compose("build", *IMAGES)
    return common


def prometheus_tag(engine: Any) -> str:
    """The tag of the compose file; where no registry has it for us, any that is already here."""
    configured = Stack(engine, "panolink-test-build", {}).compose("config", "--images", "prometheus").split()
    (image,) = (name for name in configured if "prometheus" in name)
    repository, _, tag = image.rpartition(":")
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        try:
            engine.images.pull(repository, tag)
        except docker.errors.APIError:
            here = [name for found in engine.images.list(repository) for name in found.tags]
            return here[0].rpartition(":")[2] if here else ""
    return tag
