"""`Idempotency-Key`: a repeated request gets the first response, and never sends twice.

Before a message goes out, its request is claimed in Postgres for 24 h; the response is added to the claim afterwards. A claim without a
response is a send whose outcome was not recorded: the daemon was killed, or WhatsApp did not acknowledge in time. A repeat of it is
refused as `outcome_unknown` and not sent, because the message may be out. The key is released only if certainly nothing was sent.

A send with a key runs to its end, and is recorded, even if its client leaves.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, final

import msgspec
import structlog
import trio

from actors.http.model.problems import Problem
from actors.http.model.responses import SentReply
from actors.messages import Refused
from actors.sharing import evict_from_largest
from config.json_text import read_json
from storage.errors import StorageUnavailable
from supervisor.errors import MailboxFull

MAX_UNSAVED: Final = 1000
"""Responses (and keys to be released) that wait for Postgres to come back."""
RETRY_S: Final = 2.0
ELSEWHERE_S: Final = 60.0
"""How long a send that another daemon has begun may still be under way."""

_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_NOTHING_SENT: Final = frozenset(
    {"no_active_session", "reconnecting", "owned_elsewhere", "too_many_sends", "recipient_not_on_whatsapp", "send_rejected",
     "account_restricted", "rate_limited", "not_in_group", "no_such_group", "no_such_message"}
)  # fmt: skip
"""Refusals by a company that say for certain that the message did not go out."""

T = TypeVar("T")
Spawn = Callable[[Callable[[], Awaitable[None]]], object]
Send = Callable[[], Awaitable[SentReply]]


@dataclass(frozen=True, slots=True)
class Remembered:
    """An earlier request."""

    digest: bytes
    """SHA-256 of its body."""
    response: bytes | None
    """The response as JSON; None: not recorded."""
    claim: str | None = None
    """Names the attempt."""
    is_ours: bool = True
    """Whether this installation began it: then it is under way only if this process knows it."""
    age_s: float = 0.0


class IdempotencyStore(Protocol):
    """Stores requests and responses for 24 h. Every method raises StorageUnavailable."""

    async def find(self, company_id: str, key: str) -> Remembered | None:
        """Return the request stored under this key."""
        ...

    async def claim(self, company_id: str, key: str, digest: bytes, *, claim: str, replaces: str | None) -> bool:
        """Record that this request is about to be carried out. False when the key is taken by another claim than ``replaces``."""
        ...

    async def settle(self, company_id: str, key: str, claim: str, response: bytes) -> None:
        """Store the response."""
        ...

    async def release(self, company_id: str, key: str, claim: str) -> None:
        """Release the key: nothing was sent."""
        ...


@final
@dataclass(slots=True)
class Attempt:
    """One request under way."""

    earlier: SentReply | None
    """The response to give instead of sending."""
    run: Callable[[Send], Awaitable[SentReply]]
    """Sends, once; with a key only after its claim is durable. Raises what sending raises, `storage_unavailable`, `in_progress`."""


@final
class Idempotency:
    """Knows the requests of the last 24 h and those under way. ``spawn`` starts a task that outlives the request."""

    def __init__(self, store: IdempotencyStore, spawn: Spawn) -> None:
        self._store = store
        self._spawn = spawn
        self._under_way: set[tuple[str, str]] = set()
        self._unsaved: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._unsent: OrderedDict[tuple[str, str], str] = OrderedDict()
        """Claims that sent nothing and could not be released while Postgres was away."""
        self._log = structlog.get_logger("wasup.http.idempotency")

    @asynccontextmanager
    async def attempt(self, company_id: str, key: str | None, body: msgspec.Struct) -> AsyncGenerator[Attempt, None]:
        """Wrap one send: yield the attempt that carries it out.

        Raises `invalid_idempotency_key`, `idempotency_key_reused`, `in_progress`, `outcome_unknown`, `storage_unavailable`.
        """
        if key is None:
            yield Attempt(None, _just_send)
            return
        if _KEY.fullmatch(key) is None:
            raise Problem("invalid_idempotency_key")
        name = (company_id, key)
        if name in self._under_way:
            raise Problem("in_progress", company_id=company_id)
        digest = hashlib.sha256(msgspec.json.encode(body)).digest()
        run = _Run(self, name, digest)
        self._under_way.add(name)
        try:
            yield Attempt(await self._earlier(name, digest), run)
        finally:
            if not run.has_begun:
                self._under_way.discard(name)

    def forget(self, company_id: str) -> None:
        """Drop all writes that wait for a removed company: they must not reach a later company with the same id."""
        for kept in (self._unsaved, self._unsent):
            for name in [name for name in kept if name[0] == company_id]:
                del kept[name]

    async def _earlier(self, name: tuple[str, str], digest: bytes) -> SentReply | None:
        kept = self._unsaved.get(name) or await self._store.find(*name)
        if kept is None or (kept.claim is not None and kept.claim == self._unsent.get(name)):
            return None
        if kept.digest != digest:
            raise Problem("idempotency_key_reused", company_id=name[0])
        if kept.response is None:
            under_way = not kept.is_ours and kept.age_s < ELSEWHERE_S
            raise Problem("in_progress" if under_way else "outcome_unknown", company_id=name[0])
        return read_json(kept.response, SentReply)

    async def carry_out(self, name: tuple[str, str], digest: bytes, send: Send) -> SentReply:
        """Claim, send, record. The work runs in a task of its own, so the request's task that waits for it may be cancelled."""
        outcome: list[SentReply | Exception] = []
        done = trio.Event()

        async def work() -> None:
            try:
                try:
                    claim = await self._claim(name, digest)
                    outcome.append(await self._send(name, claim, send))
                except Exception as error:  # noqa: BLE001  # raised below, in the request's task
                    outcome.append(error)
                    return
                done_first = msgspec.json.encode(outcome[0])
                await self._record(name, Remembered(digest, done_first, claim), done)
            finally:
                self._under_way.discard(name)
                done.set()

        self._spawn(work)
        await done.wait()
        if not outcome:
            raise Problem("restarting")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    async def _claim(self, name: tuple[str, str], digest: bytes) -> str:
        claim = secrets.token_hex(8)
        try:
            taken = await self._store.claim(*name, digest, claim=claim, replaces=self._unsent.get(name))
        except StorageUnavailable as error:
            if error.in_doubt:
                _put(self._unsent, name, claim)
            raise
        if not taken:  # another daemon was quicker
            raise Problem("in_progress", company_id=name[0])
        self._unsent.pop(name, None)
        return claim

    async def _send(self, name: tuple[str, str], claim: str, send: Send) -> SentReply:
        try:
            return await send()
        except Exception as error:
            if _sent_nothing(error):
                await self._release(name, claim)
            else:
                self._log.warning("send_outcome_unknown", company_id=name[0], error=type(error).__name__)
            raise

    async def _release(self, name: tuple[str, str], claim: str) -> None:
        try:
            await self._store.release(*name, claim)
        except StorageUnavailable:
            _put(self._unsent, name, claim)

    async def _record(self, name: tuple[str, str], kept: Remembered, done: trio.Event) -> None:
        """Make the result durable before the response goes out. While Postgres is away the response goes first, because the message is out
        already.
        """
        while not await self._recorded(name, kept):
            if not done.is_set():
                self._log.warning("answer_not_recorded", company_id=name[0])
                _put(self._unsaved, name, kept)
                self._under_way.discard(name)
                done.set()
            await trio.sleep(RETRY_S)
            if self._unsaved.get(name) is not kept:
                return  # too many waited, and this one was dropped
        self._unsaved.pop(name, None)

    async def _recorded(self, name: tuple[str, str], kept: Remembered) -> bool:
        assert kept.claim is not None
        assert kept.response is not None
        with suppress(StorageUnavailable):
            await self._store.settle(*name, kept.claim, kept.response)
            return True
        return False


@final
class _Run:
    """`Attempt.run` of a request with a key."""

    def __init__(self, owner: Idempotency, name: tuple[str, str], digest: bytes) -> None:
        self._owner = owner
        self._name = name
        self._digest = digest
        self.has_begun = False
        """From here on the task that sends ends the attempt."""

    async def __call__(self, send: Send) -> SentReply:
        self.has_begun = True
        return await self._owner.carry_out(self._name, self._digest, send)


async def _just_send(send: Send) -> SentReply:
    return await send()


def _sent_nothing(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.code in _NOTHING_SENT
    return isinstance(error, MailboxFull)


def _put(kept: OrderedDict[tuple[str, str], T], name: tuple[str, str], value: T) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > MAX_UNSAVED:
        evict_from_largest(kept, lambda name: name[0])  # the sends of one company must not evict those of another
