"""A small HTTP host on loopback that a test scripts, and fakes in place of the internet."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import h11
import httpcore
import trio

from actors.outbound.client import Policy

LOOPBACK = (ip_network("127.0.0.0/8"),)


def policy(
    *, allow_http: bool = False, networks: Sequence[str] = (), tls: ssl.SSLContext | None = None, connect_s: float = 5.0
) -> Policy:
    """A policy without a certificate list, which takes 20 ms to read."""
    return Policy(
        allow_http=allow_http,
        networks=tuple(ip_network(network) for network in networks),
        connect_timeout_s=connect_s,
        tls=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )


@dataclass
class Names:
    """A resolver: the results of each look-up of a name, the last one again and again."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict[str, list[Sequence[str]]])
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append(host)
        script = self.answers.get(host)
        if not script:
            raise OSError("no such name")
        return script.pop(0) if len(script) > 1 else script[0]


@dataclass
class Wire(httpcore.AsyncNetworkBackend):
    """Notes each attempted connection; makes those for which there is a real ``port``."""

    port: int | None = None
    connects: list[str] = field(default_factory=list[str])

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connects.append(host)
        if self.port is None:
            raise httpcore.ConnectError("nobody is there")
        return await httpcore.TrioBackend().connect_tcp("127.0.0.1", self.port, socket_options=socket_options)


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Host:
    """Answers each request as ``answer`` says: status, headers, body. ``None``: no response."""

    answer: Callable[[Received], Awaitable[tuple[int, dict[str, str], bytes] | None]]
    received: list[Received] = field(default_factory=list[Received])
    connections: int = 0
    port: int = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        try:
            while (request := await self._request(connection, stream)) is not None:
                self.received.append(request)
                answer = await self.answer(request)
                if answer is None:
                    await trio.sleep_forever()
                    return
                status, headers, body = answer
                raw = [(name, value) for name, value in {**headers, "content-length": str(len(body))}.items()]
                parts = (h11.Response(status_code=status, headers=raw), h11.Data(body), h11.EndOfMessage())
                await stream.send_all(b"".join(connection.send(part) or b"" for part in parts))
                connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            return

    async def _request(self, connection: h11.Connection, stream: trio.abc.Stream) -> Received | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode() for name, value in head.headers}
                return Received(head.method.decode(), head.target.decode(), headers, body)
            else:
                return None


async def fine(_: Received) -> tuple[int, dict[str, str], bytes]:
    """200, always."""
    await trio.lowlevel.checkpoint()
    return 200, {}, b"fine"


@asynccontextmanager
async def listening(
    answer: Callable[[Received], Awaitable[tuple[int, dict[str, str], bytes] | None]] = fine,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[Host]:
    """A host for the length of the block."""
    host = Host(answer)

    async def serve(stream: trio.SocketStream) -> None:
        if tls is None:
            await host.serve(stream)
            return
        encrypted = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        try:
            await encrypted.do_handshake()
        except trio.BrokenResourceError:
            return
        await host.serve(encrypted)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield host
        nursery.cancel_scope.cancel()
