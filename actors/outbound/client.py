"""HTTP to hosts that others name (webhooks, media by URL), without giving them a way into this network.

`Outbound` is made once from the settings: the `Policy`, which says what may be reached, and the one `Lookups` that all names go through. An
`OutboundClient` makes requests for one holder, such as a company:

    client = outbound.client("962302", connections=4)
    answer = await client.fetch("POST", url, headers=[("Content-Type", "…")], body=body, timeout_s=10, max_bytes=65_536)

Only https, unless the operator allows http. Every address that the name resolves to is checked, and the connection goes to a checked
address, with the original name in SNI, certificate check and Host. Redirects are returned, not followed. Environment proxies are not used.
Nothing is decompressed. One deadline and one limit of size hold for the whole request.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, cast, final

import httpcore
import httpx
import trio

from actors.outbound.addresses import is_allowed, read_address
from actors.outbound.errors import OutboundFailed, OutboundRefused
from actors.outbound.guard import GuardedBackend, Lookups, Resolve
from actors.outbound.urls import Target, read_url
from config.sections import OutboundSettings
from config.values import Network

_IDLE_S: Final = 30.0
_KEPT: Final = 2
"""Idle connections that a client keeps: there are many clients, and all share the daemon's descriptors."""
_USER_AGENT: Final = "wasup/1"
NOT_PUBLIC: Final = (
    "the URL cannot be used: its address is not public; the operator allows others with outbound.allowed_networks"
)
_TOO_LATE: Final = "the host did not answer in time"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which hosts may be reached, and how."""

    allow_http: bool
    networks: Sequence[Network]
    """Networks that are not public and are allowed nevertheless."""
    connect_timeout_s: float
    tls: ssl.SSLContext

    def check_url(self, url: str) -> Target:
        """Parse a URL before it is stored or used. Resolves no name. Raises `OutboundRefused`: `invalid_url`, or `address_not_allowed` for
        one with an address that is not public.
        """
        target = read_url(url, allow_http=self.allow_http)
        address = read_address(target.host)
        if address is not None and not is_allowed(address, self.networks):
            raise OutboundRefused("address_not_allowed", NOT_PUBLIC)
        return target


def policy_of(settings: OutboundSettings, tls: ssl.SSLContext | None = None) -> Policy:
    """Return the operator's policy. Certificates are checked against the host's SSL_CERT_FILE or SSL_CERT_DIR, else Mozilla's list."""
    return Policy(
        allow_http=settings.allow_http,
        networks=settings.allowed_networks,
        connect_timeout_s=settings.connect_timeout_s,
        tls=tls or httpx.create_ssl_context(),
    )


@final
class Outbound:
    """Makes clients, which share the daemon's threads for name look-ups."""

    def __init__(self, policy: Policy, lookups: Lookups) -> None:
        self.policy = policy
        self._lookups = lookups

    def client(self, holder: str, *, connections: int) -> OutboundClient:
        """Return a client for ``holder``. Its look-ups take turns with those of other holders."""
        return OutboundClient(self.policy, connections=connections, resolve=self._lookups.of(holder))


def outbound_of(settings: OutboundSettings) -> Outbound:
    """Make an `Outbound` from the settings. Call it once: a second one would have its own threads."""
    return Outbound(policy_of(settings), Lookups(settings.max_lookups))


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. Header names are in lower case; the last of a repeated header counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool
    """Whether the body was longer than the limit, and was cut there."""


@final
class Incoming:
    """A response whose body is still arriving."""

    def __init__(self, response: httpcore.Response) -> None:
        self.status: int = response.status
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        self._response = response
        self._body = aiter(response.aiter_stream())
        self._is_over = False

    async def receive_some(self) -> bytes:
        """Return the next part of the body, not decompressed; b"" at the end. Raises `OutboundFailed`."""
        with _as_outbound_error():
            try:
                return await anext(self._body)
            except StopAsyncIteration:
                self._is_over = True
            except BaseException:
                self._is_over = True
                raise
        return b""

    async def abandon(self) -> None:
        """Close the connection without reading the rest."""
        # The library's generators must run to their end: the garbage collector could not close one asynchronously.
        with trio.CancelScope(shield=True), suppress(OutboundFailed):
            if not self._is_over:
                extensions = cast("Mapping[str, Any]", self._response.extensions)
                await extensions["network_stream"].aclose()
            while not self._is_over:
                await self.receive_some()


@final
class OutboundClient:
    """Makes requests under a `Policy`, at most ``connections`` at once. Further ones wait for a connection, within their own deadline."""

    def __init__(
        self,
        policy: Policy,
        *,
        connections: int,
        resolve: Resolve,
        transport: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=policy.tls,
            max_connections=connections,
            max_keepalive_connections=min(connections, _KEPT),
            keepalive_expiry=_IDLE_S,
            network_backend=GuardedBackend(policy.networks, resolve, transport or _trio_backend()),
        )

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        timeout_s: float,
        max_bytes: int,
        may_cut: bool = False,
    ) -> Answer:
        """Return the whole response, whatever its status. A body above ``max_bytes`` fails with `too_large`, or is cut if ``may_cut``.

        Raises `OutboundRefused`, `OutboundFailed`. ``timeout_s`` covers everything, from the name's look-up to the last byte.
        """
        async with self.stream(method, url, headers=headers, body=body, timeout_s=timeout_s) as incoming:
            received = bytearray()
            while len(received) <= max_bytes and (piece := await incoming.receive_some()):
                received += piece
            is_cut = len(received) > max_bytes
            if is_cut and not may_cut:
                raise OutboundFailed("too_large", f"the answer is larger than {max_bytes} bytes")
            return Answer(incoming.status, incoming.headers, bytes(received[:max_bytes]), is_cut)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", timeout_s: float
    ) -> AsyncGenerator[Incoming]:
        """Yield a response to be read within the block, which lasts at most ``timeout_s``. The caller has to limit the bytes."""
        target = self._policy.check_url(url)
        request = httpcore.Request(
            method.encode("ascii"),
            httpcore.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
            ),
            headers=_all_headers(method, target, headers, body),
            content=body,
            extensions={"timeout": {"connect": min(timeout_s, self._policy.connect_timeout_s), "pool": timeout_s}},
        )
        with trio.move_on_after(timeout_s) as waiting:
            with _as_outbound_error():
                response = await self._pool.handle_async_request(request)
            incoming = Incoming(response)
            try:
                yield incoming
            finally:
                await incoming.abandon()
                await response.aclose()
        if waiting.cancelled_caught:
            raise OutboundFailed("timed_out", _TOO_LATE)

    async def aclose(self) -> None:
        """Close the idle connections."""
        with trio.CancelScope(shield=True):
            await self._pool.aclose()

    async def __aenter__(self) -> OutboundClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _trio_backend() -> httpcore.AsyncNetworkBackend:
    # The library also declares a stand-in for it, for use without trio.
    return cast("httpcore.AsyncNetworkBackend", httpcore.TrioBackend())


def _all_headers(
    method: str, target: Target, headers: Iterable[tuple[str, str]], body: bytes
) -> list[tuple[bytes, bytes]]:
    own = [("Host", target.host_header), ("User-Agent", _USER_AGENT), ("Accept-Encoding", "identity")]
    length = [("Content-Length", str(len(body)))] if body or method in {"POST", "PUT", "PATCH"} else []
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in (*own, *headers, *length)]


@contextmanager
def _as_outbound_error() -> Generator[None]:
    """Turn whatever the layers below raise into an `OutboundError`."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise OutboundFailed("timed_out", _TOO_LATE) from error
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
        raise OutboundFailed("protocol_error", "the host did not answer in HTTP") from error
    except (httpcore.NetworkError, trio.ClosedResourceError, OSError) as error:
        raise OutboundFailed("unreachable", "the connection to the host broke") from error
