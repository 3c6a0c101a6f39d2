"""The daemon as the command line sees it: its address, the key for it, and how responses become results or errors."""

from __future__ import annotations

import os
import ssl
from argparse import Namespace
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import urlsplit

import httpx
import msgspec

from actors.cli.outcome import CommandError, Exit
from config.json_text import read_json
from config.load import load
from config.settings import Settings
from config.state import Running, find_running, is_held, private_socket

_TIMEOUT: Final = httpx.Timeout(90.0, connect=5.0)
"""Longer than any request takes the daemon: its own deadlines are shorter, and its errors say more."""

_TRY_LATER: Final = frozenset({408, 429, 503, 504})
_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # what a daemon says that listens everywhere
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SOCKET_URL: Final = "http://localhost"

Parameters = Sequence[tuple[str, str | int]]


class Refusal(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the daemon's problems that are used here."""

    error: str
    code: str
    retry_after: float | None = None


@final
class Daemon:
    """Calls of the REST API. Every method raises CommandError with a sentence and an exit code."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        key: str,
        *,
        tls: ssl.SSLContext | None = None,
        socket: Path | None = None,
    ) -> None:
        self._http = http
        self.url = url
        """Where it serves HTTP, as shown to people. With ``socket`` the connection goes to that instead."""
        self.headers = {"Authorization": f"Bearer {key}"}
        self.tls = tls
        self.socket = socket

    async def get(self, path: str, parameters: Parameters = ()) -> dict[str, Any]:
        """Return the JSON object at ``path``."""
        return await self._call("GET", path, parameters=parameters)

    async def post(
        self, path: str, body: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """POST ``body`` and return the JSON object of the response."""
        return await self._call("POST", path, body=body, headers=headers)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters = (),
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = await self._http.request(
                method,
                path,
                params=list(parameters) or None,
                json=body,
                headers={**self.headers, **(headers or {})},
            )
        except httpx.TimeoutException:
            raise too_slow(self.url) from None
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error
        if answer.is_success:
            return self._decode(answer)
        raise refused(answer.status_code, answer.content, self.url)

    def _decode(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            return read_json(answer.content, dict[str, Any])
        except msgspec.DecodeError:
            raise CommandError(Exit.FAILED, f"what answers at {self.url} is not wasup") from None


def refused(status: int, body: bytes, url: str) -> CommandError:
    """Return the error for a response that is not a success."""
    try:
        problem = read_json(body, Refusal)
    except msgspec.DecodeError:
        return CommandError(Exit.FAILED, f"what answers at {url} is not wasup (HTTP status {status})")
    text = problem.error
    if status in {401, 403}:
        return CommandError(Exit.NOT_ALLOWED, text, problem=problem.code)
    if status in _TRY_LATER:
        hint = "" if problem.retry_after is None else f" (try again in {problem.retry_after:g} s)"
        return CommandError(Exit.TRY_LATER, text + hint, problem=problem.code)
    return CommandError(Exit.REFUSED if status < 500 else Exit.FAILED, text, problem=problem.code)


def unreachable(url: str, error: Exception) -> CommandError:
    """Return the error for a daemon that cannot be reached."""
    reason = str(error).partition("\n")[0] or type(error).__name__
    return CommandError(Exit.NO_DAEMON, f"no daemon answers at {url} ({reason}); start it with `wasup run`")


def too_slow(url: str) -> CommandError:
    """Return the error for a daemon that takes too long."""
    return CommandError(Exit.TRY_LATER, f"the daemon at {url} did not answer in time")


@asynccontextmanager
async def open_daemon(arguments: Namespace, environment: Mapping[str, str] | None = None) -> AsyncGenerator[Daemon]:
    """Yield the daemon that the arguments, the environment and the settings point to. Sends it no request.

    A key is sent to the address that was given with it, or to the daemon that holds the state directory, over that daemon's own socket. It
    is never sent to a mere port: any program may listen there while the daemon is down.
    """
    environment = os.environ if environment is None else environment
    settings = load(config_file=arguments.config, environment=environment)
    given_url, given_key = arguments.url or environment.get("WASUP_URL"), arguments.key or environment.get("WASUP_KEY")
    url = None if given_url is None else checked_url(given_url)
    if url is not None and given_key is not None:
        async with _open_remote(url, checked_key(given_key), settings) as daemon:
            yield daemon
        return
    running, socket = find_local(settings, url)
    key = checked_key(given_key or _read_key(settings.admin_key_file))
    async with httpx.AsyncClient(
        base_url=_SOCKET_URL,
        timeout=_TIMEOUT,
        transport=httpx.AsyncHTTPTransport(uds=str(socket)),
        follow_redirects=False,
    ) as http:
        yield Daemon(http, running.url, key, socket=socket)


@asynccontextmanager
async def _open_remote(url: str, key: str, settings: Settings) -> AsyncGenerator[Daemon]:
    tls = _tls_context(settings) if url.startswith("https:") else None
    # The environment's HTTP proxy is for hosts elsewhere, not for a daemon on this machine.
    is_local = urlsplit(url).hostname in _LOOPBACK
    async with httpx.AsyncClient(
        base_url=url, timeout=_TIMEOUT, verify=tls or True, trust_env=not is_local, follow_redirects=False
    ) as http:
        yield Daemon(http, url, key, tls=tls)


def checked_url(given: str) -> str:
    """Return the URL as it is used. Raises CommandError if it is not a URL."""
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError(Exit.USAGE, f"{given!r} is not the URL of a daemon; write http://127.0.0.1:3003")
    return given.rstrip("/")


def find_local(settings: Settings, url: str | None = None) -> tuple[Running, Path]:
    """Return the daemon that holds the state directory, and its socket. ``url``: where the user says that it is.

    Raises CommandError when there is none, when it is starting, or when it is not at ``url``.
    """
    state_dir = settings.state_dir
    running = find_running(state_dir)
    if running is None:
        why = "is starting: try again in a moment" if is_held(state_dir) else "does not run; start it with `wasup run`"
        raise CommandError(Exit.NO_DAEMON, f"the daemon of {state_dir} {why}, or name another with --url and --key")
    if url is not None and not _is_same_place(url, running.url):
        raise CommandError(
            Exit.NO_DAEMON,
            f"the admin key of {state_dir} is for its own daemon, which is at {running.url} and not at {url}; give --key",
        )
    socket = private_socket(state_dir, running)
    if socket is None:
        raise CommandError(
            Exit.NO_DAEMON,
            f"{state_dir / running.socket} is not the socket of the daemon of {state_dir}, or others may write to its directory;"
            " give --url and --key",
        )
    return running, socket


def _is_same_place(one: str, other: str) -> bool:
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_here = host in _LOOPBACK or host in _ANY_ADDRESS
    return parts.scheme, "here" if is_here else host, parts.port or (443 if parts.scheme == "https" else 80)


def checked_key(text: str) -> str:
    """Return the key as it is sent. Raises CommandError if the text cannot be a key."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise CommandError(Exit.NOT_ALLOWED, "the API key holds characters that no key has")
    return text


def _read_key(path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(
            Exit.NOT_ALLOWED, f"no API key: give --key or set WASUP_KEY ({path} cannot be read: {reason})"
        ) from None
    if not text:
        raise CommandError(Exit.NOT_ALLOWED, f"no API key: give --key or set WASUP_KEY ({path} is empty)")
    return text


def _tls_context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.http.tls_certificate_file is not None:
        # The machine that a self-signed certificate was made for trusts it.
        context.load_verify_locations(settings.http.tls_certificate_file)
    return context
