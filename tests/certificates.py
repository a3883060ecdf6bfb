"""Certificates for tests, good ones and bad ones, made by the same code as `panolink certs`."""

import datetime
from pathlib import Path

from panolink.rpc.security.certificate_authority import Subject, issue_certificates
from panolink.rpc.security.credentials import Credentials


def make(folder: Path, *names: str, days: int = 1) -> Path:
    """An authority in `folder`, unless there is one, and certificates."""
    issue_certificates(folder, [Subject.parse(name) for name in names], days=days, ca_days=10)
    return folder


def make_expired(folder: Path, name: str) -> Path:
    """A certificate that the authority in `folder` signed two days ago, for one day."""
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    issue_certificates(folder, [Subject.parse(name)], days=1, ca_days=10, start=start)
    return folder


def of(folder: Path, name: str, *, ca: Path | None = None) -> Credentials:
    """The credentials of one party; it believes the folder's authority, or that of another one."""
    return Credentials(ca=(ca or folder) / "ca.crt", cert=folder / f"{name}.crt", key=folder / f"{name}.key")


def variables(folder: Path, name: str = "", *, ca: Path | None = None) -> dict[str, str]:
    """The same as environment variables; without a name, the authority alone."""
    found = {"PANOLINK_TLS_CA": (ca or folder) / "ca.crt"}
    if name:
        found |= {"PANOLINK_TLS_CERT": folder / f"{name}.crt", "PANOLINK_TLS_KEY": folder / f"{name}.key"}
    return {key: str(path) for key, path in found.items()}
