"""`health`: whether services serve, for container engines and scripts."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, TypeAlias

import typer

from panolink.cli.options import Json, err, is_address, out, print_json
from panolink.errors import AccessError, LinkError

SERVICES = ("transmitter", "channel", "receiver")

Answer: TypeAlias = tuple[str, dict[str, str] | None]


def _addresses(texts: list[str] | None) -> list[str]:
    for text in texts or ():
        if not is_address(text):
            raise typer.BadParameter(f"{text!r} is not host:port, such as 127.0.0.1:50051")
    return texts or []


def health(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST:PORT]…",
            callback=_addresses,
            help="Services to ask; those that PANOLINK_<SERVICE>_LISTEN names where none is given.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds that all may take to answer.")] = 5.0,
    json: Json = False,
) -> None:
    """Ask services whether they serve; exit code 0 when all do, 1 otherwise.

    Example: [bold]panolink health 127.0.0.1:50051 127.0.0.1:50053[/bold]
    """
    targets = addresses or listening()
    if not targets:
        raise typer.BadParameter(
            "give one, or set PANOLINK_<SERVICE>_LISTEN as the service has it", param_hint="'HOST:PORT'"
        )
    answers = asyncio.run(_ask(targets, timeout))
    for address, (status, error) in answers.items():
        why = error["message"] if error else ""
        if json:
            print_json({"address": address, "status": status, "error": error})
        elif status == "SERVING":
            out.print(f"{address}: {status}", markup=False)
        else:
            err.print(f"panolink: {why or f'{address}: {status}'}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(status == "SERVING" for status, _ in answers.values()) else 1)


def listening() -> list[str]:
    """Where the services of this environment listen, as they are reached from here."""
    everywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
    found = []
    for name in SERVICES:
        host, _, port = os.environ.get(f"PANOLINK_{name.upper()}_LISTEN", "").rpartition(":")
        if port:
            found.append(f"{everywhere.get(host, host)}:{port}")
    return found


async def _ask(addresses: list[str], timeout: float) -> dict[str, Answer]:
    """Each address's status, as `status_of` tells it."""
    answers = await asyncio.gather(*(status_of(address, timeout) for address in addresses))
    return dict(zip(addresses, answers, strict=True))


async def status_of(address: str, timeout: float) -> Answer:
    """Ask a service whether it serves.

    Parameters
    ----------
    address : str
        `host:port`.
    timeout : float
        Seconds to wait for the answer.

    Returns
    -------
    status : str
        `SERVING`, `NOT_SERVING` or `UNREACHABLE`.
    error : dict, optional
        Code (of gRPC) and message of one that could not be asked.
    """
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from panolink.rpc.transport.connection import open_channel, unary_response
    from panolink.rpc.wire.status import code_of

    async with open_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await unary_response(stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout), address)  # pyright: ignore[reportAttributeAccessIssue]
        except (LinkError, AccessError) as error:
            return "UNREACHABLE", {"code": code_of(error).name, "message": str(error)}
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status), None
