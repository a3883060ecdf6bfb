"""A camera for tests: an RTSP server of one client, with MPEG-TS in RTP over the same connection (RFC 2326, 2250)."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 33\r\na=control:one\r\n"
)
_PACKETS = 7 * 188  # of MPEG-TS in a packet of RTP


class RtspServer:
    """Plays a transport stream to whoever asks for it, in the packets' order; a context manager."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as lines:
                while request := lines.readline().split():
                    headers = {}
                    while line := lines.readline().strip():
                        name, _, value = line.decode().partition(":")
                        headers[name.lower()] = value.strip()
                    self._answer(connection, request[0].decode(), headers)

    def _answer(self, connection: socket.socket, method: str, headers: dict[str, str]) -> None:
        extra, body = "", ""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            extra, body = "Content-Type: application/sdp\r\n", _SDP
        elif method == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        answer = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        connection.sendall(answer.encode())
        if method == "PLAY":
            for number, start in enumerate(range(0, len(self._data), _PACKETS)):
                rtp = struct.pack(">BBHII", 0x80, 33, number, 9000 * number, 1) + self._data[start : start + _PACKETS]
                connection.sendall(b"$\0" + struct.pack(">H", len(rtp)) + rtp)
