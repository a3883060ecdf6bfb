"""`up`: the three services on this machine, in one terminal."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from typing import Annotated, Any

import typer
from rich.text import Text

from panolink.cli.options import Json, Realism, check_realism, err, out, print_json
from panolink.cli.process_group import VIEWER, Ports, Services, SignalledError, environments
from panolink.errors import PanolinkError
from panolink.phy.channel.channel_models import ChannelModel

COLOURS = {"transmitter": "cyan", "channel": "magenta", "receiver": "green", "viewer": "yellow"}

Port = typer.Option(min=1, max=65535)


def up(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
    transmitter_port: Annotated[int, Port] = 50051,
    channel_port: Annotated[int, Port] = 50052,
    receiver_port: Annotated[int, Port] = 50053,
    metrics_port: Annotated[
        int,
        typer.Option(
            min=0, max=65532, help="First of three ports (four with --viewer) for Prometheus metrics; 0: none."
        ),
    ] = 9101,
    model: Annotated[
        str | None, typer.Option(help="Models to hold, with commas in between: names, or .safetensors files.")
    ] = None,
    decoder: Annotated[
        str, typer.Option(help="How the receiver makes pictures: fidelity (the default), perceptual, or a file of one.")
    ] = "",
    realism: Realism = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = None,
    fading: Annotated[
        ChannelModel | None, typer.Option(help="Kind of channel to begin with (rayleigh by default).")
    ] = None,
    snr: Annotated[float | None, typer.Option(help="Mean Es/N0 in dB to begin with (10 by default).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Every stream meets the same fading and noise.")] = None,
    viewer: Annotated[bool, typer.Option("--viewer", help="Run the live viewer too, a web page.")] = False,
    viewer_port: Annotated[int, Port] = VIEWER,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", envvar="PANOLINK_INSECURE", help="Listen in the clear where other hosts can reach it."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Run transmitter, channel and receiver here until Ctrl-C, which drains and stops them.

    Example: [bold]panolink up --fading rayleigh --snr 10[/bold]

    With [bold]--viewer[/bold], a web page shows what is received, live.

    Whatever has no option here is set by environment variables, such as PANOLINK_RECEIVER_WATCH_POLICY=block. Options
    win over them.
    """
    making = receiver_decoder(decoder, realism)
    from panolink.rpc.security.credentials import INSECURE, Credentials

    Credentials.from_environment().check_server("--host", f"{host}:{transmitter_port}", insecure=insecure)
    os.environ[INSECURE] = str(int(insecure))
    if viewer:
        check_viewer()
    ports = Ports(
        transmitter=transmitter_port,
        channel=channel_port,
        receiver=receiver_port,
        metrics=metrics_port,
        viewer=viewer_port if viewer else 0,
    )
    ports.check(host)
    settings = environments(
        host,
        ports,
        shared={"models": model, "device": device},
        channel={"model": fading, "snr_db": snr, "seed": seed},
        receiver=making,
    )
    asyncio.run(_run(settings, json))


def receiver_decoder(decoder: str, realism: float | None) -> dict[str, object]:
    """Settings of the receiver that options ask for, in place of what the environment says against them.

    Parameters
    ----------
    decoder
        `fidelity`, `perceptual`, a decoder's file, or empty: left open.
    realism
        0 … 1; None: left open.

    Returns
    -------
    dict
        `decoder` and `realism`, for `panolink.cli.process_group.environments`; None: as the environment says. A file
        and a realism go together, also where one of the two is the environment's.

    Raises
    ------
    typer.BadParameter
        The realism is none, or the decoder that is named is of another one.
    """
    from panolink.codec.realism import is_file

    wanted = check_realism(decoder, realism)
    if wanted is None or is_file(decoder or os.environ.get("PANOLINK_RECEIVER_DECODER", "")):
        return {"decoder": decoder or None, "realism": wanted}
    return {"decoder": decoder, "realism": wanted}  # an empty variable is one that is not set


def check_viewer() -> None:
    """Raise `PanolinkError` where what the viewer needs is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "websockets")):
        raise PanolinkError("the viewer is not installed; install it with: pip install 'panolink[viewer]'")


def viewer_url(said: dict[str, Any]) -> str:
    """Address of the page for a browser on this machine, from what a viewer said when it was ready."""
    from panolink.rpc.security.credentials import Credentials

    host, _, port = said["listen"].rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"{'https' if Credentials.from_environment().secure_server else 'http'}://{host}:{port}"


async def _run(settings: dict[str, dict[str, str]], json: bool) -> None:
    try:
        async with Services(settings, on_line=_print_line) as services:
            try:
                with err.status("starting …"):
                    ready = await services.supervise(services.ready())
                _announce(ready, json)
                await services.supervise(asyncio.sleep(float("inf")))
            finally:
                err.print("panolink: stopping transmitter, channel and receiver …", style="dim", markup=False)
    except SignalledError:
        err.print("panolink: stopped", style="dim", markup=False)


def _print_line(name: str, line: str) -> None:
    err.print(Text(f"{name:<11} │ ", style=COLOURS[name]) + Text(line), soft_wrap=True)


def _announce(ready: dict[str, dict[str, Any]], json: bool) -> None:
    if json:
        print_json(
            {"ready": True, **{name: {k: v for k, v in said.items() if k != "ready"} for name, said in ready.items()}}
        )
        return
    transmitter, channel, receiver = (ready[name]["listen"] for name in ("transmitter", "channel", "receiver"))
    lines = [
        ("All three serve. In another terminal:", ""),
        ("  send panoramas      ", f"panolink send PANORAMA.jpg --to {transmitter}"),
        ("  watch them arrive   ", f"panolink watch {receiver} --out received/"),
        ("  change the channel  ", f"panolink channel {channel} --model rayleigh --snr 7"),
    ]
    if "viewer" in ready:
        lines.insert(0, ("Look around in what arrives: ", viewer_url(ready["viewer"])))
    if ready["transmitter"]["metrics"] not in ("", "off"):
        places = ", ".join(f"http://{said['metrics']}/metrics" for said in ready.values())
        lines.append((f"  metrics             {places}", ""))
    lines.append(("Ctrl-C stops them.", ""))
    for label, command in lines:
        out.print(Text(label) + Text(command, style="bold"), soft_wrap=True)
