"""What comes before a request: connections that say nothing, and certificates that are renewed."""

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from panolink.errors import LinkError
from panolink.rpc.security.certificate_authority import Subject, issue_certificates
from panolink.rpc.security.credentials import Credentials
from panolink.services.viewer.listening import listen
from tests.services.viewer.conftest import StartViewer


def made(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, of an authority of their own."""
    issue_certificates(folder, [Subject.parse("viewer")], days=1, ca_days=1)
    return folder / "viewer.crt", folder / "viewer.key"


async def serial(address: str) -> int:
    host, _, port = address.rpartition(":")
    shown = await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)), timeout=10)
    return x509.load_pem_x509_certificate(shown.encode()).serial_number


async def silent(address: str, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    return [await asyncio.open_connection(host, int(port)) for _ in range(count)]


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1:0", limit=1) as first:
        address = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(LinkError, match=f"cannot listen on {address}"):
            listen(address, limit=1)


async def test_connections_that_say_nothing_are_few_and_end_soon(start_viewer: StartViewer, tmp_path: Path) -> None:
    """Over TLS, where nobody knows of them before the handshake."""
    cert, key = made(tmp_path)
    viewer = await start_viewer(credentials=Credentials(cert=cert, key=key), max_connections=8, handshake_seconds=0.5)
    opened = await silent(viewer.address, 30)
    ended = [asyncio.create_task(reader.read()) for reader, _ in opened]
    await asyncio.sleep(0.2)
    assert sum(not one.done() for one in ended) <= 10, "those beyond the limit are closed at once"
    await asyncio.wait_for(asyncio.gather(*ended, return_exceptions=True), 5)
    assert await serial(viewer.address)
    for _, writer in opened:
        writer.close()


async def test_certificates_are_read_again_when_they_change(start_viewer: StartViewer, tmp_path: Path) -> None:
    cert, key = made(tmp_path)
    credentials = Credentials(cert=cert, key=key)
    viewer = await start_viewer(credentials=credentials)
    before, gauge = await serial(viewer.address), "panolink_certificate_expiry_timestamp_seconds"
    expires = credentials.material.expires
    assert expires and viewer.metrics.registry.get_sample_value(gauge) == expires.timestamp()
    (tmp_path / "new").mkdir()
    for new, old in zip(made(tmp_path / "new"), (cert, key), strict=True):
        shutil.copy(new, old)
    after = await serial(viewer.address)
    assert after != before and after == await serial(viewer.address)
