"""A compose project of this repository, on whatever engine the `docker` command talks to."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
SERVICES = ("transmitter", "channel", "receiver")
IMAGES = (*SERVICES, "viewer")

PORTS = tuple(f"{name}_PORT" for name in ("TRANSMITTER", "CHANNEL", "RECEIVER", "VIEWER", "PROMETHEUS", "GRAFANA"))

Result = TypeVar("Result")


def free_ports() -> dict[str, object]:
    """Settings that publish each port where nobody listens on this machine."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in PORTS]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return dict(zip(PORTS, (probe.getsockname()[1] for probe in probes), strict=True))


@dataclass
class Stack:
    """One project: its name, its compose files, its settings."""

    engine: Any
    """A `docker.DockerClient`."""
    name: str
    settings: Mapping[str, object]
    files: tuple[str, ...] = ("docker-compose.yml",)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        # Nobody's own .env or settings take part.
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PANOLINK_", "COMPOSE_"))}
        self.environment = clean | {"ENV_FILE": os.devnull} | {key: str(value) for key, value in self.settings.items()}

    def compose(self, *arguments: str) -> str:
        """Run `docker compose …`; its output, which is part of the error where it fails."""
        files = [option for file in self.files for option in ("-f", file)]
        command = ["docker", "compose", "-p", self.name, "--env-file", os.devnull, *files, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-8000:]}"
        return done.stdout

    def up(self, *services: str) -> None:
        """Bring services up, healthy; all of them where none is named."""
        try:
            self.compose("up", "--detach", "--wait", "--no-build", *services)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--tail', '40')}") from None

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "40")

    def container(self, service: str) -> Any:
        """The SDK's container of a service, as it is now."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        (found,) = self.engine.containers.list(all=True, filters={"label": labels})
        return found

    def health(self, service: str) -> str:
        state = self.container(service).attrs["State"]
        return state["Health"]["Status"] if state["Running"] else state["Status"]

    def run(self, service: str, *command: str) -> str:
        """The output of a command in a service's container."""
        code, output = self.container(service).exec_run(list(command))
        assert code == 0, output.decode()
        return output.decode()

    def crash(self, service: str) -> None:
        """SIGKILL to a service's process, from outside its container.

        For the engine it has crashed, and it starts it again; `docker kill` would count as somebody's wish.
        """
        container = self.container(service)
        code = f"import os; os.kill({container.attrs['State']['Pid']}, 9)"
        # The same user, and the host's process numbers.
        self.engine.containers.run(container.image.id, ["python", "-c", code], pid_mode="host", remove=True)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What this stack's Prometheus answers."""
        address = f"http://127.0.0.1:{self.settings['PROMETHEUS_PORT']}/api/v1/query"
        with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode({'query': expression})}", timeout=10) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]["result"]


def eventually(look: Callable[[], Result], *, seconds: float = 90) -> Result:
    """What `look` finds as soon as it finds something; what it last found where that takes too long."""
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.5)
    return found
