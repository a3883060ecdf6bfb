"""`info`: what a .plk file, a model or a running service is."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from panolink.cli.options import Json, about, is_address, print_error, print_json, print_pairs, wants_traceback
from panolink.cli.streams import read_source
from panolink.errors import PanolinkError, SettingError


def info(
    things: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE.plk|MODEL|WEIGHTS|HOST:PORT]…", help="What to look at; all shipped models if empty."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Tell what a .plk file, a model or a running service is.

    Examples: [bold]panolink info street.plk[/bold], [bold]panolink info base[/bold], [bold]panolink info
    127.0.0.1:50051[/bold]
    """
    if not things:
        from panolink.codec.model import shipped_models

        things = shipped_models()
    failed = False
    for number, thing in enumerate(things):
        try:
            found = _look_at(thing)
        except SettingError:
            raise  # not the fault of what we look at
        except (PanolinkError, OSError) as error:
            if wants_traceback():
                raise
            failed = True
            print_error(error if isinstance(error, PanolinkError) else f"{thing}: {error.strerror}")
            continue
        if json:
            print_json(found)
        else:
            if number:
                print()
            print_pairs(_flat(found))
    raise typer.Exit(1 if failed else 0)


def _look_at(thing: str) -> dict[str, Any]:
    path = Path(thing)
    if path.is_file() and path.suffix == ".safetensors":
        return _model(thing)
    if path.is_file() or path.suffix == ".plk":
        return _packet(path)
    if is_address(thing):
        return asyncio.run(_service(thing))
    return _model(thing)


def _packet(path: Path) -> dict[str, Any]:
    from panolink.codec.bitstream import MAGIC, Packet

    data = read_source(path, is_wanted=lambda head: head.startswith(MAGIC))
    with about(path):
        packet = Packet.from_bytes(data)
    return {
        "kind": "packet",
        "source": str(path),
        "width": packet.width,
        "height": packet.height,
        "fingerprint": packet.fingerprint,
        "bytes": len(data),
        "bpp": packet.bpp,
        "bits": packet.bits,
        "slices": len(packet.slices),
        "sphere": packet.header.sphere.as_dict(),
        "focus": [dataclasses.asdict(focus) for focus in packet.header.focus],
        "stream": dataclasses.asdict(place) if (place := packet.header.stream) else None,
        "exif_bytes": len(packet.header.exif),
    }


def _model(name: str) -> dict[str, Any]:
    from panolink.codec.model import load_model

    model = load_model(name)
    return {
        "kind": "model",
        "model": model.name,
        "fingerprint": model.fingerprint,
        "profile": model.profile.name,
        "codes": model.profile.codes,
        "dim": model.profile.dim,
        "factor": model.profile.factor,
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "card": model.card,
    }


async def _service(target: str) -> dict[str, Any]:
    from panolink.cli.transfer import connected

    async with connected(target) as link:
        found = await link.info()
    return {
        "kind": "service",
        "service": found.service,
        "version": found.version,
        "device": found.device,
        "models": [dict(model) for model in found.models],
        "target": found.target,
        "uptime_seconds": found.uptime_seconds,
        "limits": dict(found.limits),
    }


def _flat(values: Mapping[str, Any]) -> dict[str, object]:
    """For people: nested values on one line, empty ones left out."""
    return {name: _readable(value) for name, value in values.items() if value not in ("", [], {}, None)}


def _readable(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_readable(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(_readable(inner) for inner in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
