"""The media host: encrypted files are uploaded to it and fetched from it over HTTPS, by the hash of their ciphertext.

Clients reach it through the CONNECT proxy, as any host that is not the chat server.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Final, final

import h11
import trio

HOSTNAME: Final = "mmg.whatsapp.net"
MAX_FILE: Final = 128 * 1024 * 1024
MAX_FILES: Final = 1_000
IDLE_S: Final = 120.0
_UPLOADS: Final = "/mms/"
_FILES: Final = "/v/t62.0000-24/"


@final
class MediaHost:
    """The files of one loopback WhatsApp, and what tests do to them."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._refusals: list[int] = []
        self.uploads: list[str] = []
        """The kind of each upload, as its path named it."""
        self.downloads = 0

    def refuse(self, status: int, times: int = 1) -> None:
        """Answer the next ``times`` requests with this HTTP status."""
        self._refusals += [status] * times

    def forget(self) -> None:
        """Delete all files, as WhatsApp does after some weeks."""
        self._files.clear()

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Answer requests on one connection until it ends."""
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._answer_one(stream, connection):
                connection.start_next_cycle()
        except (h11.RemoteProtocolError, h11.LocalProtocolError, trio.TooSlowError):
            return

    async def _answer_one(self, stream: trio.abc.Stream, connection: h11.Connection) -> bool:
        request = await _next(stream, connection)
        if not isinstance(request, h11.Request):
            return False
        body = await _body(stream, connection)
        status, answer = self._answer(request.method.decode(), request.target.decode(), body)
        kind = "application/json" if request.method == b"POST" else "application/octet-stream"
        headers = [("content-type", kind), ("content-length", str(len(answer)))]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(answer), h11.EndOfMessage()):
            await stream.send_all(connection.send(event) or b"")
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def _answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        path = target.partition("?")[0].partition("&")[0]
        if self._refusals:
            return self._refusals.pop(0), b"{}"
        if method == "POST" and path.startswith(_UPLOADS):
            return self._take(path.removeprefix(_UPLOADS), body)
        if method == "GET" and path.startswith(_FILES):
            self.downloads += 1
            found = self._files.get(path.removeprefix(_FILES))
            return (404, b"") if found is None else (200, found)
        return 405, b"{}"

    def _take(self, path: str, body: bytes) -> tuple[int, bytes]:
        kind, _, token = path.partition("/")
        hashed = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
        if token.rstrip("=").replace("%3D", "") != hashed:
            return 400, b'{"error": "the token is not the hash of the file"}'
        if len(self._files) >= MAX_FILES:
            return 507, b"{}"
        self._files[hashed] = body
        self.uploads.append(kind)
        return 200, json.dumps(_described(hashed)).encode()


def _described(token: str) -> Mapping[str, str]:
    direct = f"{_FILES}{token}?ccb=11-4&oh=0"
    return {"url": f"https://{HOSTNAME}{direct}", "direct_path": direct, "handle": ""}


async def _next(stream: trio.abc.Stream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        with trio.fail_after(IDLE_S):
            connection.receive_data(bytes(await stream.receive_some(1 << 16)))
    return event


async def _body(stream: trio.abc.Stream, connection: h11.Connection) -> bytes:
    body = bytearray()
    while isinstance(event := await _next(stream, connection), h11.Data):
        body += event.data
        if len(body) > MAX_FILE:
            raise h11.RemoteProtocolError("too large")
    return bytes(body)
