"""The services as child processes: started together, watched, and stopped in the order of the link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from panolink.errors import LinkError
from panolink.rpc.environment import misspelt

NAMES = ("transmitter", "channel", "receiver")
"""In the order of the link, which is the order of stopping: nobody is left talking to a service that is gone."""

VIEWER = 8360
"""Usual port of the viewer's page."""

STOP_SECONDS = 40.0
"""A service drains for up to 25 s; one that takes longer than this is killed."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks us to stop: Ctrl-C, kill, a terminal that closes."""

CORES = {"transmitter": 0.5, "channel": 0.25, "receiver": 0.5}
"""Share of the cores for each service's threads: encoder and decoder work at the same time, on different panoramas."""

MAX_LINE = 1 << 20

Result = TypeVar("Result")


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a pipe; one of more than `MAX_LINE` bytes is left out, and those after it are read."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue
        if not line:
            return
        yield line


class SignalledError(Exception):
    """One of `SIGNALS` has come."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the services listen; metrics on ports in a row from `metrics`, 0 for none. A viewer with port 0 is none."""

    transmitter: int
    channel: int
    receiver: int
    metrics: int = 0
    viewer: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The services that are run."""
        return (*NAMES, "viewer") if self.viewer else NAMES

    @classmethod
    def free(cls, *, viewer: bool = False) -> Ports:
        """Ports of the loopback address that nobody listens on, without metrics.

        Parameters
        ----------
        viewer : bool
            One for a viewer too: `VIEWER` if it is free.
        """
        with contextlib.ExitStack() as stack:
            names = (*NAMES, "viewer") if viewer else NAMES
            probes = [stack.enter_context(socket.socket()) for _ in names]
            for name, probe in zip(names, probes, strict=True):
                try:
                    probe.bind(("127.0.0.1", VIEWER if name == "viewer" else 0))
                except OSError:
                    probe.bind(("127.0.0.1", 0))
            return cls(**dict(zip(names, (probe.getsockname()[1] for probe in probes), strict=True)))

    def check(self, host: str) -> None:
        """Find out that a port is in use seconds before a service would.

        Parameters
        ----------
        host : str
            Address that the services are to listen on.

        Raises
        ------
        LinkError
            A port is in use, or asked for twice; names it and its option.
        """
        wanted = [(getattr(self, name), f"--{name}-port") for name in self.names]
        if self.metrics:
            wanted += [(self.metrics + index, "--metrics-port") for index in range(len(self.names))]
        taken: dict[int, str] = {}
        for port, option in wanted:
            if port in taken:
                raise LinkError(f"port {port} is asked for twice, by {taken[port]} and {option}")
            taken[port] = option
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host.strip("[]"), port))
                except OSError as error:
                    reason = (error.strerror or str(error)).lower()
                    raise LinkError(f"port {port} on {host}: {reason}; choose another one with {option}") from None


def environments(
    host: str,
    ports: Ports,
    *,
    shared: Mapping[str, object],
    channel: Mapping[str, object],
    receiver: Mapping[str, object] | None = None,
) -> dict:
    """Each service's settings as environment variables.

    Parameters
    ----------
    shared
        Settings of transmitter and receiver (`models`, `device`); None: the default.
    channel
        Settings of the channel (`model`, `snr_db`, `seed`).
    receiver
        Settings of the receiver alone (`decoder`, `realism`).
    """
    reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    settings: dict[str, dict[str, object]] = {
        "transmitter": {"target": f"{reachable}:{ports.channel}", **shared},
        "channel": {"target": f"{reachable}:{ports.receiver}", **channel},
        "receiver": {**shared, **(receiver or {})},
    }
    if ports.viewer:
        services = {name: f"{reachable}:{getattr(ports, name)}" for name in NAMES}
        settings = {
            "viewer": {**services, "supervised": True},
            **settings,
        }  # first to be stopped: it talks to all others
    for name, share in CORES.items():
        if f"PANOLINK_{name}_CORES_SHARE".upper() not in os.environ:
            settings[name]["cores_share"] = share
    for index, name in enumerate(ports.names):
        metrics = f"{host}:{ports.metrics + index}" if ports.metrics else "off"
        settings[name] |= {"listen": f"{host}:{getattr(ports, name)}", "metrics_listen": metrics}
    return {
        name: {f"PANOLINK_{name}_{key}".upper(): str(value) for key, value in values.items() if value is not None}
        for name, values in settings.items()
    }


class Services:
    """Transmitter, channel, receiver, and perhaps a viewer, as children of this process; an async context manager.

    The children run in their own sessions, so that Ctrl-C reaches only this process, which stops them in order. If
    this process is killed, their standard input ends, and they drain by themselves.

    Parameters
    ----------
    environments
        Settings of each service from `environments`, in addition to the environment of this process.
    on_line
        Called with the name of a service and each line that it logs.
    """

    def __init__(
        self, environments: Mapping[str, Mapping[str, str]], *, on_line: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        self._environments = environments
        self._on_line = on_line
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._ready: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._last: dict[str, deque[str]] = {name: deque(maxlen=20) for name in environments}
        self._restarting: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._signals = 0
        self._stop_requested = asyncio.Event()

    async def __aenter__(self) -> Services:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            for name in self._environments:
                await self._start(name)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def ready(self) -> dict[str, dict[str, Any]]:
        """Wait until all serve; what each said: `listen`, `metrics` (addresses) and `pid`."""
        return {name: await future for name, future in self._ready.items()}

    async def supervise(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await `work` while the services live.

        Parameters
        ----------
        work : coroutine
            What to do meanwhile; it is cancelled where a service ends.

        Returns
        -------
        object
            What `work` returns.

        Raises
        ------
        LinkError
            A service has ended by itself; names it and its exit code.
        SignalledError
            One of `SIGNALS` has come.
        """
        wanted = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop_requested.wait())
        ends = {asyncio.ensure_future(child.wait()): name for name, child in self._children.items()}
        try:
            while True:
                await asyncio.wait({wanted, stopped, *ends}, return_when=asyncio.FIRST_COMPLETED)
                if stopped.done():
                    raise SignalledError
                for end, name in [(end, name) for end, name in ends.items() if end.done()]:
                    if name not in self._restarting:
                        await asyncio.sleep(0.1)  # its last words are still on their way
                        raise LinkError(self._exit_reason(name, end.result()))
                    self._restarting.discard(name)
                    del ends[end]
                    await self._start(name)
                    ends[asyncio.ensure_future(self._children[name].wait())] = name
                if wanted.done():
                    return await wanted
        finally:
            for task in (wanted, stopped, *ends):
                task.cancel()
            await asyncio.gather(wanted, stopped, *ends, return_exceptions=True)

    async def stop(self) -> None:
        """SIGTERM to one after the other, in the order of the link; each drains before the next is signalled."""
        for child in self._children.values():
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
                try:
                    await asyncio.wait_for(child.wait(), STOP_SECONDS)
                except TimeoutError:
                    child.kill()
                    await child.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start(self, name: str) -> None:
        unknown = misspelt(os.environ)  # of which this process has said so
        inherited = {name: value for name, value in os.environ.items() if name not in unknown}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", f"panolink.services.{name}", "--until-stdin-ends"),
            env={"PANOLINK_LOG_FORMAT": "text", **inherited, **self._environments[name]},  # for people, through a pipe
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            start_new_session=True,
        )
        self._children[name] = child
        self._ready[name] = asyncio.get_running_loop().create_future()
        self._tasks += [asyncio.create_task(self._listen(name, child)), asyncio.create_task(self._log(name, child))]

    async def _listen(self, name: str, child: asyncio.subprocess.Process) -> None:
        """Standard output: one JSON line when the service is ready."""
        assert child.stdout
        async for line in _lines(child.stdout):
            with contextlib.suppress(ValueError, AttributeError):
                said = json.loads(line)
                if said.get("ready") == name and not self._ready[name].done():
                    self._ready[name].set_result(said)
                if name == "viewer" and said.get("restart") == "receiver":
                    self._kill("receiver")

    def _kill(self, name: str) -> None:
        """Kill a service that is running; `supervise` starts it again."""
        if self._ready[name].done() and self._children[name].returncode is None and not self._stop_requested.is_set():
            self._restarting.add(name)
            self._children[name].kill()

    async def _log(self, name: str, child: asyncio.subprocess.Process) -> None:
        assert child.stderr
        async for line in _lines(child.stderr):
            text = line.decode(errors="replace").rstrip()
            self._last[name].append(text)
            self._on_line(name, text)

    def _exit_reason(self, name: str, code: int) -> str:
        """How a service ended, with the last line that it logged."""
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = next((line for line in reversed(self._last[name]) if line.strip()), "")
        return f"{name} {how}{f': {last}' if last else ''}"

    def _on_signal(self) -> None:
        """The first time: stop in order. After that: end them at once."""
        self._signals += 1
        self._stop_requested.set()
        if self._signals > 1:
            for child in self._children.values():
                if child.returncode is None:
                    child.kill()
