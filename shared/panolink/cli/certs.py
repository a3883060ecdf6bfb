"""`certs`: a certificate authority for development, and certificates for services and clients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from panolink.cli.options import Json, out, print_json

DEFAULT_NAMES = ["transmitter", "channel", "receiver", "viewer", "client"]


def certs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME[=HOST,…]]…",
            help="Whom to make certificates for, with the hosts (names or IP addresses) by which others reach them; "
            "transmitter, channel, receiver, viewer and client if empty.",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the files go.")] = Path("certs"),
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long certificates are valid.")] = 365,
    ca_days: Annotated[int, typer.Option(min=1, max=36500, help="How long a new authority is valid.")] = 3650,
    json: Json = False,
) -> None:
    """Make a certificate authority and certificates for TLS between services.

    Example: [bold]panolink certs transmitter receiver=receiver.example,10.0.0.7 client --out certs/[/bold]

    An authority that is in the folder already signs the new certificates. Nothing is overwritten. Every certificate
    is for its NAME and for localhost too. Keys belong to hosts: give each its own, and ca.key to nobody.
    """
    from panolink.rpc.security.certificate_authority import Subject, issue_certificates

    subjects = [Subject.parse(name) for name in names or DEFAULT_NAMES]
    made = issue_certificates(folder, subjects, days=days, ca_days=ca_days)
    for one in made:
        if json:
            print_json(
                {
                    "name": one.name,
                    "hosts": list(one.hosts),
                    "cert": str(one.cert),
                    "key": str(one.key),
                    "expires": one.expires.isoformat(timespec="seconds"),
                }
            )
        else:
            hosts = f"  for {', '.join(one.hosts)}" if one.hosts else "  the authority"
            out.print(f"{one.cert}, {one.key.name}  until {one.expires:%Y-%m-%d}{hosts}", markup=False, soft_wrap=True)
    if not json:
        last = made[-1]
        out.print("\nFor each process its own, for example:", markup=False)
        for line in (f"TLS_CA={folder / 'ca.crt'}", f"TLS_CERT={last.cert}", f"TLS_KEY={last.key}"):
            out.print(f"  export PANOLINK_{line}", markup=False, soft_wrap=True)
