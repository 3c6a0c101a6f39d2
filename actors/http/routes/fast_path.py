"""The fast path: a plain request to send, handled without the framework.

The framework's work for a request (routing, parameters, dependencies, the layers of a response) costs as much as everything else the
HTTP side does for a message. A request is plain when its path, headers and body need none of that; any other goes through the framework.
On both ways the same functions decide: whose key it is, what it may use, how a body is read, how a message is sent, what an error means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, final

import msgspec

from actors.http.access.auth import Authenticator
from actors.http.access.guards import admit, enter
from actors.http.model.bodies import decode, read_body
from actors.http.model.message_schema import SendBody
from actors.http.model.problems import answer_of
from actors.http.services.backends import Backends
from actors.http.services.failures import problem_for
from actors.http.services.sending import TEMPLATE, send_message
from actors.http.transport.answers import whole_response
from actors.http.transport.tasks import AsgiApp, AsgiEvent, AsgiReceive, AsgiScope, AsgiSend
from config.sections import HttpSettings

_PATH: Final = re.compile(TEMPLATE.replace("{company_id}", "([A-Za-z0-9_-]{1,64})"), re.ASCII)
_HOST: Final = re.compile(rb"[0-9A-Za-z.:\[\]_-]*", re.ASCII)
_JSON: Final = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_READ: Final = frozenset({b"host", b"content-type", b"content-length", b"idempotency-key"})
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"content-encoding", b"expect"})


@final
@dataclass(frozen=True, slots=True)
class Plain:
    """The company and key that a plain request names."""

    company_id: str
    idempotency_key: str | None


@final
class FastPath:
    """Handles plain requests to send; passes every other to ``rest``."""

    def __init__(self, rest: AsgiApp, backends: Backends, authenticator: Authenticator, settings: HttpSettings) -> None:
        self._rest = rest
        self._backends = backends
        self._authenticator = authenticator
        self._settings = settings

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        plain = plain_request(scope, self._settings.max_body_bytes)
        if plain is None:
            await self._rest(scope, receive, send)
            return
        scope["path_template"] = TEMPLATE
        scope["path_params"] = {"company_id": plain.company_id}
        try:
            head, body = await self._answer(plain, scope, receive)
        except Exception as error:  # noqa: BLE001  # as in the framework: the client gets a problem for every error
            head, body = answer_of(problem_for(error, scope, self._backends.audit), scope)
        await send(head)
        await send(body)

    async def _answer(self, plain: Plain, scope: AsgiScope, receive: AsgiReceive) -> tuple[AsgiEvent, AsgiEvent]:
        principal = await enter(scope, self._authenticator, self._backends.requests)
        admit(principal, plain.company_id)
        body = decode(await read_body(receive, self._settings.read_timeout_s), SendBody)
        reply, more_headers = await send_message(
            principal, plain.company_id, body, plain.idempotency_key, self._backends
        )
        content = msgspec.json.encode(reply)
        return whole_response(200, "application/json", content, more_headers)


def plain_request(scope: AsgiScope, max_body_bytes: int) -> Plain | None:
    """Return what the request names, or None when it is not plain."""
    found = _PATH.fullmatch(scope["path"])
    if found is None or scope["method"] != "POST" or scope["query_string"]:
        return None
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _NOT_PLAIN or name in headers:
            return None
        if name in _READ:
            headers[name] = value
    length = headers.get(b"content-length", b"")
    if not (length.isdigit() and 0 < int(length) <= max_body_bytes) or headers.get(b"content-type", b"") not in _JSON:
        return None
    if _HOST.fullmatch(headers.get(b"host", b"")) is None:
        return None
    key = headers.get(b"idempotency-key")
    return Plain(found[1], None if key is None else key.decode("latin-1"))
