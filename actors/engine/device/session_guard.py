"""Keeps a Signal session consistent when the library encrypts and decrypts with it at the same moment.

The library reads a session, steps it and writes it back without excluding another step: the later write undoes the step of the other, a
message is encrypted with a key that was used before, and its recipient drops it silently. A send only steps the sending chain and a
receive only the receiving ones (or all of them, when the peer has a new ratchet key), so the two can be recognised and merged:
`session_after` does that, called by a trigger in the write's own transaction (actors/engine/device/sql_function.py). A write that cannot
be merged is refused before the message could leave the machine: the send is repeated (actors/engine/calls.py), and the library asks
for a received message again. docs/adr/0011-what-the-library-would-lose.md has the cases and the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import msgspec

from config.json_text import read_json
from storage.whatsmeow.codec import json_array, json_object

STALE: Final = "wasup: the session was changed meanwhile"
"""The text of the refusal, which the library's error contains."""

Json = dict[str, Any]


def session_after(old: bytes, new: bytes) -> bytes | None:
    """Return what the row is to hold when ``new`` is written over ``old``: ``new``, both merged, or None to refuse ``new``.

    A value that is not a session record is written unchanged.
    """
    was, now = _read(old), _read(new)
    if was is None or now is None:
        return new
    after = _same_session(was, now) if was.base == now.base else _other_session(was, now)
    if after is None:
        return None
    return new if after == now.content else msgspec.json.encode(after)


@final
@dataclass(frozen=True, slots=True)
class _Record:
    """A session with the earlier ones of the same device; a missing part is None or empty."""

    content: Json
    state: Json

    @property
    def base(self) -> object:
        """The identity of the session."""
        return self.state.get("SenderBaseKey")

    @property
    def ratchet(self) -> object:
        """The identity of the sending chain."""
        return _ratchet(self.state.get("SenderChain"))

    @property
    def index(self) -> int | None:
        """How many messages were sent with the sending chain."""
        key = json_object((json_object(self.state.get("SenderChain")) or {}).get("ChainKey"))
        index = key.get("Index") if key else None
        return index if isinstance(index, int) else None

    @property
    def receiving(self) -> list[object]:
        """The ratchet keys of the peer's chains, the newest last."""
        return [_ratchet(chain) for chain in json_array(self.state.get("ReceiverChains")) or []]

    @property
    def earlier(self) -> list[Any]:
        """The states of earlier sessions."""
        return json_array(self.content.get("PreviousStates")) or []

    def knows(self, base: object) -> bool:
        """Whether that session is among the earlier ones."""
        return any(_base(state) == base for state in self.earlier)


def _read(value: bytes) -> _Record | None:
    try:
        content = json_object(read_json(value))
    except msgspec.DecodeError:
        return None
    state = json_object(content.get("SessionState")) if content else None
    return None if content is None or state is None else _Record(content, state)


def _base(state: object) -> object:
    return (json_object(state) or {}).get("SenderBaseKey")


def _ratchet(chain: object) -> object:
    return (json_object(chain) or {}).get("SenderRatchetKeyPublic")


def _same_session(was: _Record, now: _Record) -> Json | None:
    if was.ratchet == now.ratchet:
        return _same_chain(was, now)
    # A receive with a new ratchet key keeps the earlier receiving chain; a send without the newest one used a replaced chain.
    newest = was.receiving[-1] if was.receiving else None
    return now.content if newest in now.receiving else None


def _same_chain(was: _Record, now: _Record) -> Json | None:
    if was.index is None or now.index is None:
        return now.content
    if was.state.get("ReceiverChains") == now.state.get("ReceiverChains"):
        # Of two sends that took the same key the later is refused.
        return None if now.index <= was.index and was.earlier == now.earlier else now.content
    if now.index < was.index:  # a receive that began before a send ended
        return _keep(was, now, ("SenderChain",))
    if now.index > was.index:  # a send that began before a receive ended
        return _keep(was, now, ("ReceiverChains", "PendingPreKey"))
    return now.content


def _keep(was: _Record, now: _Record, fields: Sequence[str]) -> Json:
    kept = {field: was.state.get(field) for field in fields}
    return {**now.content, "SessionState": {**now.state, **kept}}


def _other_session(was: _Record, now: _Record) -> Json | None:
    is_new, is_kept = not was.knows(now.base), now.knows(was.base)
    if is_new and is_kept:
        return now.content
    if is_new:
        return _begun_at_once(was, now)
    # If ``now`` does not know the present session, it steps a session that was replaced meanwhile.
    return _taken_up_again(was, now) if is_kept else None


def _begun_at_once(was: _Record, now: _Record) -> Json | None:
    """Merge two sessions that both sides began at the same moment, of which each write would drop the other."""
    if now.state.get("PendingPreKey") is not None:
        return None  # ours: refused; the repeated send uses the peer's
    return {**now.content, "PreviousStates": [*now.earlier, was.state]}  # a message under ours may have been sent


def _taken_up_again(was: _Record, now: _Record) -> Json:
    """Merge the step for a message of an earlier session: that session becomes the current one, and only it may be stepped.

    The library tries the other sessions first and leaves them stepped with keys that no peer has: those steps are undone.
    """
    known = [was.state, *was.earlier]
    earlier = [
        next((before for before in known if _base(before) == _base(state)), state)
        for state in now.earlier
        if _base(state) != now.base
    ]
    return {**now.content, "PreviousStates": earlier}


_TABLE: Final = "whatsmeow_sessions"
_AFTER: Final = "wasup_session_after(OLD.session, NEW.session)"

GUARD: Final = (
    f"CREATE TRIGGER wasup_session_guard AFTER UPDATE OF session ON {_TABLE}"  # noqa: S608 - our own names
    f" WHEN {_AFTER} IS NOT NEW.session BEGIN UPDATE {_TABLE} SET session = coalesce({_AFTER}, RAISE(ABORT, '{STALE}'))"
    " WHERE our_jid = NEW.our_jid AND their_id = NEW.their_id; END"
)
"""The trigger. It is short, because the library prepares its statement anew for each write, and SQLite compiles all triggers with it."""
