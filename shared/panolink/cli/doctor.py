"""`doctor`: what is here, what works, and what to do about the rest."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer
from rich.text import Text

from panolink.cli.options import Json, err, out, print_json, wants_traceback
from panolink.errors import PanolinkError

_PORTS = {
    **{50051: "transmitter", 50052: "channel", 50053: "receiver", 8360: "viewer"},
    **{9101: "metrics", 9102: "metrics", 9103: "metrics"},
}
_PACKAGES = ("torch", "numpy", "grpcio", "pillow", "av", "numba")
_EXTRAS = {
    "formats": ("imagecodecs", "OpenEXR", "pillow_heif", "pillow_jxl", "tifffile"),
    "viewer": ("starlette", "uvicorn", "websockets"),
    "tracing": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc"),
}
_WHAT_FOR = {
    "formats": "HEIC, JPEG XL, OpenEXR, Radiance HDR, deep TIFF",
    "viewer": "the web page of `up --viewer`",
    "tracing": "OpenTelemetry traces",
}
_MIN_CORES, _MIN_GIB = 2, 2.0
_TEST_WIDTH, _TEST_BPP, _LEAST_VPSNR_DB = 512, 0.2, 18.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    check : str
        Its name.
    ok : bool | None
        Whether it is as it should be; None: it need not be there.
    detail : str
        What was found.
    fix : str
        What to do; empty where nothing is to be done.
    """

    check: str
    ok: bool | None
    detail: str
    fix: str = ""


def doctor(
    self_test: Annotated[
        bool, typer.Option(help="Code a panorama and send it over a simulated channel, in this process.")
    ] = True,
    json: Json = False,
) -> None:
    """Tell what is here: CPU, GPU, versions, extras, settings, ports, models; and whether it works.

    Example: [bold]panolink doctor[/bold]

    A tick (✓) is as it should be, a cross (✗) comes with what to do, a dash (–) need not be there. Exit code 1 where
    there is a cross.
    """
    checks: list[Callable[[], Iterator[Finding]]] = [
        *(_python, _cpu, _gpu, _packages, _extras, _video, _settings, _ports, _models),
        *([_self_test] if self_test else []),
    ]
    failed = False
    for check in checks:
        with err.status("looking …"):
            found = list(_carefully(check))
        for finding in found:
            failed |= finding.ok is False
            if json:
                print_json(asdict(finding))
            else:
                _print(finding)
    raise typer.Exit(1 if failed else 0)


def _print(finding: Finding) -> None:
    sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}[finding.ok]
    out.print(Text(f"{sign} ", style) + Text(f"{finding.check}: ", "bold") + Text(finding.detail), soft_wrap=True)
    if finding.fix:
        out.print(Text(f"    {finding.fix}", "yellow"), soft_wrap=True)


def _carefully(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check's findings; one that itself fails is a finding too."""
    name = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check()
    except PanolinkError as error:
        yield Finding(name, False, str(error))
    except Exception as error:  # a broken package may raise anything
        if wants_traceback():
            raise
        reason = str(error).strip().splitlines()[:1] or [""]
        yield Finding(name, False, f"{type(error).__name__}: {reason[0]}", "run it again with --debug, and report it")


def _python() -> Iterator[Finding]:
    import panolink

    fine = sys.version_info >= (3, 11)
    yield Finding("panolink", True, f"{panolink.__version__}, {os.path.dirname(panolink.__file__)}")
    yield Finding(
        "python",
        fine,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if fine else "use Python 3.11 or newer",
    )


def _cpu() -> Iterator[Finding]:
    from panolink.rpc.observability.device_metrics import usable_cpus, usable_memory

    cores, gib = usable_cpus(), usable_memory() / (1 << 30)
    enough = cores >= _MIN_CORES
    fix = "" if enough else "two or more are faster: transmitter and receiver work at the same time"
    yield Finding("cpu", enough or None, f"{cores:g} cores for this process", fix)
    enough = gib >= _MIN_GIB
    yield Finding(
        "memory", enough, f"{gib:.1f} GiB", "" if enough else f"{_MIN_GIB:g} GiB are needed for all three services"
    )


def _gpu() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = "torch finds none" if built else "this torch is built for the CPU alone"
        yield Finding("gpu", None, f"no NVIDIA GPU ({why}): networks run on the CPU")
        return
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    yield Finding("gpu", True, f"{', '.join(names)}, CUDA {torch.version.cuda}")
    decoder = importlib.util.find_spec("sionna") is not None
    fix = "" if decoder else "pip install 'panolink[gpu]' decodes LDPC on the GPU too"
    yield Finding("extra gpu", decoder or None, "installed" if decoder else "not installed", fix)


def _packages() -> Iterator[Finding]:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    fix = f"pip install {' '.join(missing)}" if missing else ""
    yield Finding("packages", not missing, ", ".join(found + [f"no {name}" for name in missing]), fix)


def _extras() -> Iterator[Finding]:
    for extra, modules in _EXTRAS.items():
        missing = [name for name in modules if not _is_there(name)]
        if not missing:
            yield Finding(f"extra {extra}", True, f"installed ({_WHAT_FOR[extra]})")
        else:
            fix = f"pip install 'panolink[{extra}]' for {_WHAT_FOR[extra]}"
            yield Finding(f"extra {extra}", None, f"without {', '.join(missing)}", fix)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def _video() -> Iterator[Finding]:
    import av
    import av.filter
    from av.codec import codecs_available

    missing = [name for name in ("h264", "hevc", "libx264") if name not in codecs_available]
    missing += [] if "v360" in av.filter.filters_available else ["v360"]
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    detail = f"PyAV {av.__version__}, libavcodec {ffmpeg}" + (f", without {', '.join(missing)}" if missing else "")
    fix = "take a wheel of `av` from PyPI: pip install --force-reinstall --only-binary av av" if missing else ""
    yield Finding("video", not missing, detail, fix)


def _settings() -> Iterator[Finding]:
    from panolink.rpc.environment import misspelt
    from panolink.rpc.security.credentials import Credentials

    credentials = Credentials.from_environment()
    kind = "TLS" if credentials.secure_client or credentials.secure_server else "in the clear, on this host alone"
    yield Finding("connections", True, kind)
    set_here = sorted(name for name in os.environ if name.startswith("PANOLINK_"))
    wrong = misspelt(os.environ)
    detail = ", ".join(set_here) or "no PANOLINK_… variable is set"
    yield Finding("settings", not wrong, detail, "; ".join(wrong.values()))
    if proxies := sorted(name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "grpc_proxy")):
        yield Finding("proxy", None, f"{', '.join(proxies)}: asked for other hosts, not for this one")


def _ports() -> Iterator[Finding]:
    taken = [port for port in _PORTS if not _is_free(port)]
    answers = asyncio.run(_who_answers([port for port in taken if _PORTS[port] != "metrics"]))
    ours = {port: what for port, what in answers.items() if what}
    for port, what in ours.items():
        yield Finding(f"port {port}", True, f"a {what} of Panolink serves here")
    # What stands beside services of ours is theirs: the page of a viewer, metrics.
    foreign = [port for port in taken if port not in ours and not ours]
    free = [str(port) for port in _PORTS if port not in taken]
    if free:
        yield Finding("ports", True, f"{', '.join(free)} are free")
    for port in foreign:
        option = "--metrics-port" if _PORTS[port] == "metrics" else f"--{_PORTS[port]}-port"
        yield Finding(f"port {port}", False, "another program listens here", f"panolink up {option} takes another one")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _who_answers(ports: list[int]) -> dict[int, str]:
    """Which service of ours answers at each port; empty for none."""
    from panolink.client import Client

    async def ask(port: int) -> str:
        try:
            async with Client(f"127.0.0.1:{port}", connect_timeout=1.0) as link:
                return (await link.info()).service
        except PanolinkError:
            return ""

    return dict(zip(ports, await asyncio.gather(*map(ask, ports)), strict=True))


def _models() -> Iterator[Finding]:
    from panolink.codec.model import load_model, shipped_models

    names = shipped_models()
    if not names:
        yield Finding("models", False, "no weights in the package", "install it again: pip install --force-reinstall")
        return
    found = [load_model(name) for name in names]
    yield Finding("models", True, ", ".join(f"{model.name} ({model.fingerprint})" for model in found))


def _self_test() -> Iterator[Finding]:
    """A sample through the codec, the radio and back, as the services do it."""
    from pathlib import Path

    import panolink
    from panolink import Codec, load_panorama
    from panolink.images import resized
    from panolink.link.receiver import Receiver
    from panolink.link.transmitter import RateRequest, Transmitter
    from panolink.metrics.viewport import vpsnr
    from panolink.phy import Channel, Conditions

    sample = load_panorama(Path(panolink.__file__).parent / "samples" / "city.webp")
    picture = resized(sample, (_TEST_WIDTH // 2, _TEST_WIDTH))
    codec = Codec.load()
    seconds = 0.0
    for _ in range(2):  # the first time compiles and warms up
        began = time.monotonic()
        sent = Transmitter(codec).transmit(picture, RateRequest(bpp=_TEST_BPP))
        arrived = Channel(Conditions("rayleigh", snr_db=15, seed=1)).apply(sent.symbols)
        received = Receiver(codec).receive(segments=sent.segments, **vars(arrived))
        seconds = time.monotonic() - began
    quality = vpsnr(picture, received.picture) if received.picture is not None else 0.0
    fine = quality >= _LEAST_VPSNR_DB
    detail = f"{_TEST_WIDTH}×{_TEST_WIDTH // 2} at {_TEST_BPP} bpp over Rayleigh at 15 dB: {quality:.1f} dB VPSNR, "
    fix = "" if fine else "the weights or a package are broken: install them again"
    yield Finding("self-test", fine, f"{detail}{1000 * seconds:.0f} ms on {codec.device.type}", fix)
