"""Who may use the page: names of the host, origins, and the token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from panolink.rpc.security.credentials import Credentials, same_token

COOKIE = "panolink_viewer"


class Access:
    """Checks the requests of browsers.

    Parameters
    ----------
    credentials
        With a token, browsers sign in with it and carry a cookie derived from it.
    hosts
        Names of this host besides `localhost` and IP addresses. Others are refused, so that a page of another site
        whose name is made to point here (DNS rebinding) reaches nothing.
    """

    def __init__(self, credentials: Credentials, hosts: Collection[str] = ()) -> None:
        self._credentials = credentials
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    def refusal(self, connection: HTTPConnection, *, changes: bool) -> str | None:
        """Why a request is refused: `host`, `origin` or `token`; None if it is not.

        Parameters
        ----------
        changes
            Whether it could change something, as every WebSocket can: the origin must then be this page.
        """
        host = connection.headers.get("host", "")
        if not self._known(host):
            return "host"
        origin = connection.headers.get("origin")
        if changes and origin is not None and _host_of(origin) != host.lower():
            return "origin"
        return None if self.signed_in(connection) else "token"

    def signed_in(self, connection: HTTPConnection) -> bool:
        """Whether no token is needed, or the request carries its cookie, or the token itself (Bearer)."""
        token = self._credentials.material.token
        if token is None:
            return True
        bearer = connection.headers.get("authorization", "").removeprefix("Bearer ")
        return same_token(connection.cookies.get(COOKIE, ""), _session(token)) or same_token(bearer, token)

    def sign_in(self, given: Any) -> str | None:
        """The cookie's value for the right token; None for any other."""
        token = self._credentials.material.token
        if token is None or not isinstance(given, str) or not same_token(given.strip(), token):
            return None
        return _session(token)

    def _known(self, host: str) -> bool:
        if not host or set(host) & set("/@?#\\ "):
            return False
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:  # brackets around what is no address
            return False
        try:
            ip_address(name)
        except ValueError:
            return name in self._hosts
        return True


def _host_of(origin: str) -> str | None:
    """Host and port of an origin; None where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _session(token: str) -> str:
    return hmac.new(token.encode(), b"panolink viewer", hashlib.sha256).hexdigest()
