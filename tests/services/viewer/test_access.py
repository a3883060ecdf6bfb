"""Who is let in: host names, origins, the token."""

import asyncio
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from panolink.rpc.security.credentials import Credentials
from tests.services.viewer.browser import ask, message, page, request
from tests.services.viewer.conftest import StartViewer

TOKEN = "an-example-of-a-token"


async def refused(address: str, **options: object) -> bool:
    try:
        async with page(address, **options) as socket:
            await socket.recv()
    except (InvalidStatus, ConnectionClosed):
        return True
    return False


async def test_a_page_of_another_site_is_refused(start_viewer: StartViewer) -> None:
    address = (await start_viewer()).address
    assert await refused(address, origin="http://elsewhere.example")
    assert await refused(address, origin="null")
    assert await refused(address, origin="http://[zz]")
    status, answer = await ask(address, "/api/upload", b"x", origin="http://elsewhere.example")
    assert status == 403 and "another site" in answer["error"]
    assert not await refused(address)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("rebound.example", 403),
        ("localhost:8360", 200),
        ("viewer.lan", 200),
        ("[::1]:80", 200),
        ("[zz]", 403),
        ("][", 403),
    ],
)
async def test_names_of_the_host(start_viewer: StartViewer, host: str, status: int) -> None:
    address = (await start_viewer(hosts="viewer.lan, other.lan")).address
    assert (await ask(address, "/api/state", host=host))[0] == status


async def test_a_token_is_asked_for(start_viewer: StartViewer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    address = (await start_viewer(credentials=Credentials(token_file=tmp_path / "token"))).address
    assert (await request(address, "/"))[0] == 200  # the page, which asks for it
    assert (await ask(address, "/api/state"))[0] == 401
    assert await refused(address)
    assert (await ask(address, "/api/session", b'{"token": "wrong"}'))[0] == 401
    assert (await ask(address, "/api/session", b"[1]"))[0] == 400
    assert (await ask(address, "/api/session", b"[" * 8000))[0] == 400
    assert (await ask(address, "/api/session", b'{"token": "\\ud800"}'))[0] == 400  # half a character
    assert (await ask(address, "/api/session", b'{"token": "%s"}' % (b"x" * 10_000)))[0] == 400
    status, headers, _ = await request(address, "/api/session", b'{"token": "%s"}' % TOKEN.encode())
    cookie = headers["set-cookie"]
    assert status == 200 and TOKEN not in cookie and "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    signed_in = {"cookie": cookie.partition(";")[0]}
    assert (await ask(address, "/api/state", **signed_in))[0] == 200
    async with page(address, additional_headers=signed_in) as socket:
        assert (await message(socket, "viewer"))["samples"]


async def test_the_page_keeps_to_itself(start_viewer: StartViewer) -> None:
    _, headers, content = await request((await start_viewer()).address, "/")
    assert "default-src 'self'" in headers["content-security-policy"]
    assert b"http://" not in content.replace(b"http://www.w3.org", b"") and b"https://" not in content


async def test_no_file_of_the_page_is_kept_without_asking(start_viewer: StartViewer) -> None:
    """Their names say nothing of their contents: after an update, a browser would show the old page."""
    address = (await start_viewer()).address
    for path in ("/", "/assets/viewer.js", "/api/state"):
        status, headers, _ = await request(address, path)
        assert (status, headers["cache-control"]) == (200, "no-cache")


async def test_a_token_that_does_not_come_is_a_timeout(
    start_viewer: StartViewer,
) -> None:
    address = (await start_viewer(handshake_seconds=0.5)).address
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = ("POST /api/session HTTP/1.1", f"Host: {address}", "Content-Length: 20", "", "{")
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
