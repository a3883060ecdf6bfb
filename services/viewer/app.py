"""The web application: the page, uploads, pictures of what was sent, and the WebSocket of each browser."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from panolink.errors import ImageError, LimitError, LinkError, PanolinkError
from panolink.rpc.version import version
from panolink.services.viewer.access import COOKIE, Access
from panolink.services.viewer.browser import BrowserSession, MessageError
from panolink.services.viewer.control import (
    ControlError,
    changes_of,
    is_number,
    json_object,
    realism_of,
    send_options,
    width_of,
)
from panolink.services.viewer.gaze import Gaze
from panolink.services.viewer.hub import Hub, Mailbox
from panolink.services.viewer.link import OFF, LinkWatcher, to_jpeg
from panolink.services.viewer.metrics import ViewerMetrics
from panolink.services.viewer.reduced_pictures import picture_of
from panolink.services.viewer.sender import Sender, samples_in, show_of_samples, show_of_upload
from panolink.services.viewer.sent import SentPanoramas
from panolink.services.viewer.settings import ViewerSettings
from panolink.services.viewer.uploads import TooSlowError, receive

STATIC = Path(__file__).parent / "static"
THUMBNAIL_WIDTH = 384
MIN_INTERVAL = 0.1
LEAST_PER_SECOND = 0.01

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; style-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

MAX_UPLOADS = 4
"""that are taken at a time: files on disk, and processes that look into them"""

_STATUS = {TooSlowError: 408, LimitError: 413, ImageError: 415, LinkError: 503, OSError: 507}


class ViewerApp:
    """Handlers of the page's requests.

    Parameters
    ----------
    restart
        Restarts a receiver; None: nobody here can.
    """

    def __init__(
        self,
        settings: ViewerSettings,
        *,
        hub: Hub,
        metrics: ViewerMetrics,
        watcher: LinkWatcher,
        sender: Sender,
        sent: SentPanoramas,
        restart: Callable[[], None] | None,
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._metrics = metrics
        self._watcher = watcher
        self._sender = sender
        self._sent = sent
        self._restart = restart
        self._access = Access(settings.credentials, settings.hosts)
        self._samples = samples_in(settings.samples)
        self._uploads, self._turn = 0, asyncio.Lock()
        hub.state(
            "viewer",
            version=version(),
            samples=list(self._samples),
            supervised=restart is not None,
            channel=settings.channel != OFF,
            max_upload_bytes=settings.max_upload_bytes,
        )
        self._requests: dict[str, Callable[[Mailbox, dict[str, Any]], Awaitable[None]]] = {
            "gaze": self._gaze,
            "conditions": self._conditions,
            "decoder": self._decoder,
            "send": self._send,
            "stop": self._stop,
            "kill": self._kill,
        }

    def asgi(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/api/session", self.session, methods=["GET", "POST"]),
                Route("/api/state", self.state),
                Route("/api/upload", self.upload, methods=["POST"]),
                Route("/api/sent", self.sent_picture),
                Route("/api/activation", self.activation),
                Route("/api/samples/{name}", self.sample),
                WebSocketRoute("/ws", self.socket),
                Mount("/", StaticFiles(directory=STATIC, html=True)),
            ],
            middleware=[Middleware(_Guard, access=self._access, metrics=self._metrics)],
        )

    # ── HTTP ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def session(self, request: Request) -> Response:
        """GET: whether a token is needed; POST: sign in with it."""
        if request.method == "GET":
            return JSONResponse({"signed_in": self._access.signed_in(request)})
        try:
            body = await _body(request, 8192, self._settings.handshake_seconds)
            cookie = self._access.sign_in(json_object(body, "a token").get("token"))
        except TooSlowError as error:
            return _problem(str(error), 408)
        except (ValueError, ClientDisconnect):
            return _problem("allowed is a JSON object with a token", 400)
        if cookie is None:
            self._metrics.refused.labels("token").inc()
            return _problem("this is not the token of these services", 401)
        response = JSONResponse({"signed_in": True})
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=secure)
        return response

    async def state(self, _: Request) -> Response:
        """All that the hub knows: services, conditions, gazes with their ages."""
        return JSONResponse(self._hub.snapshot())

    async def upload(self, request: Request) -> Response:
        """Take a file and send it; `name` and the options are in the query."""
        if self._uploads >= MAX_UPLOADS:
            self._metrics.uploads.labels("refused").inc()
            return _problem(f"{MAX_UPLOADS} files are being taken already", 429)
        self._uploads += 1
        try:
            return await self._upload(request)
        except (PanolinkError, OSError, ClientDisconnect) as error:
            self._metrics.uploads.labels("refused").inc()
            status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
            text = str(error) if isinstance(error, PanolinkError) else "it could not be stored"
            return _problem(text, status)
        finally:
            self._uploads -= 1

    async def _upload(self, request: Request) -> Response:
        announced = request.headers.get("content-length", "")
        how = _how(json_object(request.query_params.get("options", "{}"), "options"))
        upload = await receive(
            request.stream(),
            name=request.query_params.get("name", "upload"),
            announced=int(announced) if announced.isdecimal() else None,
            settings=self._settings,
            turn=self._turn,
        )
        self._metrics.uploads.labels("accepted").inc()
        await self._sender.play(show_of_upload(upload, **how))
        return JSONResponse({"sending": upload.name})

    async def sent_picture(self, request: Request) -> Response:
        """What was sent under a `source`."""
        sent = self._sent.find(request.query_params.get("source", ""))
        if sent is None:
            return _problem("not sent from here, or too long ago", 404)
        return await _jpeg(sent.picture, self._settings.max_width, self._settings.picture_quality)

    async def activation(self, request: Request) -> Response:
        """The activation map of what was sent under a `source`, one grey pixel per token."""
        sent = self._sent.find(request.query_params.get("source", ""))
        if sent is None or sent.activation is None:
            return _problem("no activation map is known", 404)
        file = io.BytesIO()
        Image.fromarray(sent.activation).save(file, "PNG")
        return Response(file.getvalue(), media_type="image/png")

    async def sample(self, request: Request) -> Response:
        """A sample, small."""
        path = self._samples.get(request.path_params["name"])
        if path is None:
            return _problem("no such sample", 404)
        try:
            picture = await asyncio.to_thread(picture_of, path, THUMBNAIL_WIDTH, self._settings.max_image_pixels)
        except PanolinkError as error:
            return _problem(str(error), 415)
        return await _jpeg(picture.array, THUMBNAIL_WIDTH, 80)

    # ── WebSocket ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def socket(self, socket: WebSocket) -> None:
        """A browser."""
        if len(self._hub) >= self._settings.browsers:
            self._metrics.refused.labels("browsers").inc()
            await socket.accept()  # a refused handshake would not tell the page why
            await socket.close(1013, f"{self._settings.browsers} browsers look already, and no more are allowed")
            return
        await socket.accept()
        timeout = self._settings.send_timeout_seconds
        await BrowserSession(socket, self._hub, self._metrics, self._handle, send_timeout=timeout).run()

    async def _handle(self, mailbox: Mailbox, message: dict[str, Any]) -> None:
        handler = self._requests.get(message["type"])
        if handler is None:
            raise MessageError(f"unknown request {message['type'][:40]!r}; allowed: {', '.join(self._requests)}")
        await handler(mailbox, message)

    async def _gaze(self, mailbox: Mailbox, message: dict[str, Any]) -> None:
        self._hub.gazes.put(mailbox.number, Gaze.from_message(message))

    async def _conditions(self, _: Mailbox, message: dict[str, Any]) -> None:
        await self._watcher.set_conditions(await changes_of(message, self._watcher.conditions))

    async def _decoder(self, _: Mailbox, message: dict[str, Any]) -> None:
        await self._watcher.choose_realism(realism_of(message))

    async def _send(self, _: Mailbox, message: dict[str, Any]) -> None:
        names = message.get("samples")
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(n, str) and n in self._samples for n in names)
        ):
            raise ControlError(f"samples: allowed are {', '.join(self._samples)}")
        options = message.get("options")
        how = _how(options if isinstance(options, dict) else {})
        await self._sender.play(show_of_samples(self._samples, names, self._settings.max_image_pixels, **how))

    async def _stop(self, _: Mailbox, __: dict[str, Any]) -> None:
        await self._sender.stop()

    async def _kill(self, _: Mailbox, __: dict[str, Any]) -> None:
        if self._restart is None:
            raise ControlError("this viewer was not started by `panolink up`, and can end no receiver")
        self._restart()


class _Guard:
    """Refuses what `Access` refuses, and adds headers that keep the page to itself."""

    def __init__(self, app: ASGIApp, access: Access, metrics: ViewerMetrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        socket = scope["type"] == "websocket"
        refusal = self._access.refusal(connection, changes=socket or scope["method"] not in ("GET", "HEAD"))
        # Without a token only the page itself is shown, which asks for it.
        if (
            refusal == "token"
            and not socket
            and (not scope["path"].startswith("/api/") or scope["path"] == "/api/session")
        ):
            refusal = None
        if refusal:
            self._metrics.refused.labels(refusal).inc()
            if socket:
                await WebSocket(scope, receive, send).close(1008, f"refused: {refusal}")
            else:
                await _problem(f"refused: {_REASONS[refusal]}", 401 if refusal == "token" else 403)(
                    scope, receive, send
                )
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(k.lower().encode(), v.encode()) for k, v in SECURITY_HEADERS.items()]
                message["headers"].append((b"cache-control", b"no-cache"))  # no file's name changes with its content
            await send(message)

        await self._app(scope, receive, with_headers)


_REASONS = {
    "host": "this host name is not one of this viewer's (PANOLINK_VIEWER_HOSTS)",
    "origin": "the request comes from another site's page",
    "token": "sign in with the services' token",
}


def _how(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a `Show` for a browser's options."""
    per_second = options.get("per_second") or 0
    if not is_number(per_second) or (per_second and not LEAST_PER_SECOND <= per_second <= 60):
        raise ControlError(f"per_second: allowed is 0, or a number from {LEAST_PER_SECOND:g} to 60")
    interval = 1.0 / per_second if per_second else MIN_INTERVAL
    how = send_options(options, interval)
    return {
        "options": how,
        "width": width_of(options),
        "repeat": bool(options.get("repeat", False)),
        "interval": interval,
        "stream": bool(options.get("stream", True)) and "tau" not in how,
    }


async def _body(request: Request, limit: int, seconds: float) -> bytes:
    """The body of a request that anybody may make: not waited for as long as that of one who has signed in."""
    body = b""
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise ValueError
    except TimeoutError:
        raise TooSlowError(f"a token: it has not come within {seconds:g} s") from None
    return body


async def _jpeg(picture: np.ndarray, max_width: int, quality: int) -> Response:
    file = await asyncio.to_thread(to_jpeg, picture, max_width, quality)
    return Response(file, media_type="image/jpeg")


def _problem(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status_code=status)
