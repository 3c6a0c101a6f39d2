"""`Idempotency-Key`: a repeated request is answered with the first answer, and never sends twice.

The answer is kept in Postgres for 24 h. Between a message's acknowledgement and that record (a crash, a timeout), a repeat is
sent again under the very same message id, which receiving phones show once.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, final

import msgspec
import structlog

from actors.http.problems import Problem
from actors.http.replies import SentReply
from storage.errors import StorageUnavailable

MAX_UNSAVED: Final = 1000
"""Answers kept in memory because Postgres was away when they were to be recorded."""

_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remembered:
    """An earlier request with its answer."""

    digest: bytes
    """SHA-256 of the request's body."""
    response: bytes
    """The answer as JSON."""


class IdempotencyStore(Protocol):
    """Where answers are kept for 24 h."""

    async def find(self, company_id: str, key: str) -> Remembered | None:
        """What is kept under this key. Raises StorageUnavailable."""
        ...

    async def remember(self, company_id: str, key: str, kept: Remembered) -> None:
        """Keep this, unless something is kept already. Raises StorageUnavailable."""
        ...


@final
@dataclass(slots=True)
class Attempt:
    """One request on its way; without a key it is never a repeat and nothing is kept."""

    message_id: str | None = None
    """The id to send under; None: any."""
    earlier: SentReply | None = None
    """The answer to give instead of sending."""
    sent: SentReply | None = field(default=None, init=False)
    """To be set to the answer that was given; it is kept when the attempt ends."""


@final
class Idempotency:
    """Knows the answers of the last 24 h and the requests under way."""

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._under_way: set[tuple[str, str]] = set()
        self._unsaved: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._log = structlog.get_logger("wasup.http.idempotency")

    @asynccontextmanager
    async def attempt(self, company_id: str, key: str | None, body: msgspec.Struct) -> AsyncGenerator[Attempt, None]:
        """Around a send. Raises `invalid_idempotency_key`, `idempotency_key_reused`, `in_progress`, `storage_unavailable`."""
        if key is None:
            yield Attempt()
            return
        if _KEY.fullmatch(key) is None:
            raise Problem("invalid_idempotency_key")
        digest = hashlib.sha256(msgspec.json.encode(body)).digest()
        if (company_id, key) in self._under_way:
            raise Problem("in_progress")
        self._under_way.add((company_id, key))
        try:
            earlier = await self._earlier(company_id, key, digest)
            attempt = Attempt(_message_id(company_id, key, digest), earlier)
            yield attempt
            if attempt.sent is not None:
                await self._keep(company_id, key, Remembered(digest, msgspec.json.encode(attempt.sent)))
        finally:
            self._under_way.discard((company_id, key))

    async def _earlier(self, company_id: str, key: str, digest: bytes) -> SentReply | None:
        kept = self._unsaved.get((company_id, key)) or await self._store.find(company_id, key)
        if kept is None:
            return None
        if kept.digest != digest:
            raise Problem("idempotency_key_reused")
        return msgspec.json.decode(kept.response, type=SentReply)

    async def _keep(self, company_id: str, key: str, kept: Remembered) -> None:
        try:
            await self._store.remember(company_id, key, kept)
        except StorageUnavailable:
            # The message is out: its answer must not turn into an error now.
            self._log.warning("answer_not_recorded", company_id=company_id)
            self._unsaved[company_id, key] = kept
            if len(self._unsaved) > MAX_UNSAVED:
                self._unsaved.popitem(last=False)


def _message_id(company_id: str, key: str, digest: bytes) -> str:
    """Looks like one of WhatsApp's own, and is the same for the same request."""
    seed = f"{company_id}\0{key}\0".encode() + digest
    return "3EB0" + hashlib.sha256(seed).hexdigest()[:18].upper()
