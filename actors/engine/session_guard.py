"""Keeps a Signal session whole when the library encrypts and decrypts with it at the same moment.

The library reads a session, steps it and writes it back, and nothing keeps a send and a receive apart: the later write undoes the other's
step, and a message is encrypted with a key that was used before, which its recipient drops without a word. A send only steps the sending
chain and a receive only the receiving ones (or all of them, when the peer has a new ratchet key), so the two can be told apart and put
together: that is what these triggers do, in the write's own transaction. What cannot be put together is refused, before it could leave
the machine: the send is repeated (actors/engine/calls.py), a receive is asked for again by the library.
docs/adr/0011-what-the-library-would-lose.md has the cases and the measurements.
"""

from __future__ import annotations

from typing import Final

STALE: Final = "wasup: the session was changed meanwhile"
"""The text of the refusal, as the library's error will contain it."""

_TABLE: Final = "whatsmeow_sessions"


def _old(path: str) -> str:
    return f"json_extract(CAST(OLD.session AS TEXT), '$.{path}')"


def _new(path: str) -> str:
    return f"json_extract(CAST(NEW.session AS TEXT), '$.{path}')"


def _both_readable(condition: str) -> str:
    """CASE: nothing in it is looked at before both are known to be JSON."""
    return (
        "CASE WHEN json_valid(CAST(OLD.session AS TEXT)) AND json_valid(CAST(NEW.session AS TEXT))"
        f" THEN {condition} ELSE 0 END"
    )


_BASE: Final = "SessionState.SenderBaseKey"
_RATCHET: Final = "SessionState.SenderChain.SenderRatchetKeyPublic"
_INDEX: Final = "SessionState.SenderChain.ChainKey.Index"
_RECEIVING: Final = "SessionState.ReceiverChains"
_SENDING: Final = "SessionState.SenderChain"
_PENDING: Final = "SessionState.PendingPreKey"
_NEWEST: Final = "SessionState.ReceiverChains[#-1].SenderRatchetKeyPublic"

_SAME_SESSION: Final = f"{_old(_BASE)} IS {_new(_BASE)}"
_SAME_CHAIN: Final = f"{_SAME_SESSION} AND {_old(_RATCHET)} IS {_new(_RATCHET)}"
_RECEIVED: Final = f"{_old(_RECEIVING)} IS NOT {_new(_RECEIVING)}"


def _knows(row: str, base_key: str) -> str:
    """Whether the row has the session with that base key among its earlier ones."""
    states = f"json_each(CAST({row}.session AS TEXT), '$.PreviousStates')"
    return f"EXISTS (SELECT 1 FROM {states} WHERE json_extract(value, '$.SenderBaseKey') IS {base_key})"  # noqa: S608 - our own names


def _has_chain(row: str, ratchet_key: str) -> str:
    chains = f"json_each(CAST({row}.session AS TEXT), '$.{_RECEIVING}')"
    return f"EXISTS (SELECT 1 FROM {chains} WHERE json_extract(value, '$.SenderRatchetKeyPublic') IS {ratchet_key})"  # noqa: S608 - our own names


_USED_TWICE: Final = (
    f"({_SAME_CHAIN} AND NOT ({_RECEIVED}) AND {_new(_INDEX)} <= {_old(_INDEX)}"
    f" AND {_old('PreviousStates')} IS {_new('PreviousStates')})"
)
"""Two sends took the same key of the chain (answering a retry receipt is one too)."""

_OLD_CHAIN: Final = (
    f"({_SAME_SESSION} AND {_old(_RATCHET)} IS NOT {_new(_RATCHET)} AND NOT {_has_chain('NEW', _old(_NEWEST))})"
)
"""A send with a chain that a receive has replaced meanwhile."""

_OLD_SESSION: Final = f"(NOT ({_SAME_SESSION}) AND {_knows('OLD', _new(_BASE))} AND NOT {_knows('NEW', _old(_BASE))})"
"""A step of a session that was replaced by another one meanwhile."""

_SEND_UNDONE: Final = f"({_SAME_CHAIN} AND {_RECEIVED} AND {_new(_INDEX)} < {_old(_INDEX)})"
"""A receive that began before a send had ended."""

_RECEIVE_UNDONE: Final = f"({_SAME_CHAIN} AND {_RECEIVED} AND {_new(_INDEX)} > {_old(_INDEX)})"
"""A send that began before a receive had ended."""

_UNRELATED: Final = f"NOT ({_SAME_SESSION}) AND NOT {_knows('OLD', _new(_BASE))} AND NOT {_knows('NEW', _old(_BASE))}"
"""Both sides began a session at the same moment, and each write would forget the other's."""

_BEGUN_HERE: Final = f"({_UNRELATED} AND {_new(_PENDING)} IS NOT NULL)"
"""A send began a session while the peer's came in: repeated, it takes the peer's."""

_BEGUN_THERE: Final = f"({_UNRELATED} AND {_new(_PENDING)} IS NULL)"
"""The peer's session comes in after a send began one, with which its message may be out already."""


_TAKEN_UP_AGAIN: Final = f"(NOT ({_SAME_SESSION}) AND {_knows('OLD', _new(_BASE))} AND {_knows('NEW', _old(_BASE))})"
"""A message of an earlier session came, which becomes the current one."""

_AS_THEY_WERE: Final = f"""'$.PreviousStates', (
    SELECT json_group_array(json(coalesce((
        SELECT was.value FROM (
            SELECT {_old("SessionState")} AS value
            UNION ALL SELECT value FROM json_each(CAST(OLD.session AS TEXT), '$.PreviousStates')
        ) was WHERE json_extract(was.value, '$.SenderBaseKey') IS json_extract(now.value, '$.SenderBaseKey') LIMIT 1
    ), now.value)))
    FROM json_each(CAST(NEW.session AS TEXT), '$.PreviousStates') now
    WHERE json_extract(now.value, '$.SenderBaseKey') IS NOT {_new(_BASE)}
)"""  # noqa: S608 - our own names
"""Only the current session was stepped. But the library tries the others first, and leaves those that did not fit stepped as well: with
keys that nobody else has."""


def _keep(*paths: str) -> str:
    return ", ".join(f"'$.{path}', {_old(path)}" for path in paths)


def _put_together(name: str, condition: str, kept: str) -> str:
    return (
        f"CREATE TRIGGER IF NOT EXISTS wasup_session_{name} AFTER UPDATE OF session ON {_TABLE}"  # noqa: S608 - our own names
        f" WHEN {_both_readable(condition)} BEGIN UPDATE {_TABLE}"
        f" SET session = CAST(json_set(CAST(NEW.session AS TEXT), {kept}) AS BLOB)"
        " WHERE our_jid = NEW.our_jid AND their_id = NEW.their_id"
        f" AND session IS NOT CAST(json_set(CAST(NEW.session AS TEXT), {kept}) AS BLOB); END"
    )


GUARDS: Final = (
    f"CREATE TRIGGER IF NOT EXISTS wasup_session_stale BEFORE UPDATE OF session ON {_TABLE}"
    f" WHEN {_both_readable(f'{_USED_TWICE} OR {_OLD_CHAIN} OR {_OLD_SESSION} OR {_BEGUN_HERE}')}"
    f" BEGIN SELECT RAISE(ABORT, '{STALE}'); END",
    _put_together("send_undone", _SEND_UNDONE, _keep(_SENDING)),
    _put_together("receive_undone", _RECEIVE_UNDONE, _keep(_RECEIVING, _PENDING)),
    _put_together("begun_there", _BEGUN_THERE, f"'$.PreviousStates[#]', {_old('SessionState')}"),
    _put_together("taken_up_again", _TAKEN_UP_AGAIN, _AS_THEY_WERE),
)
"""CREATE TRIGGER statements; running them again does nothing."""
