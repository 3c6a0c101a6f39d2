"""Recovers messages that arrive when their key has been used already.

Mostly such a message is a repetition. But when this process was killed after the library decrypted a message and before it was in
the event spool, the message is lost here, and the library drops every repetition. Then its key is replaced by one that does not fit:
the library cannot decrypt the next delivery, asks the sender for the message, and the sender's phone encrypts it again.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from actors.engine.device.sqlite import Connection
from actors.engine.logs import EngineLog
from actors.engine.whatsmeow import payloads
from actors.engine.whatsmeow.events import Incoming
from actors.engine.whatsmeow.log_lines import Passed
from config.json_text import read_json

if TYPE_CHECKING:
    from actors.engine.device.file import DeviceFile

AGAIN_EVERY_S: Final = 30.0
"""The least time between two redeliveries: each costs a log-in. Messages found lost sooner are only reported."""
TOGETHER_S: Final = 5.0
"""Messages found lost within this time are redelivered by the same log-in."""
ASKED_FOR: Final = 500


@final
class Redelivery:
    """For one open device file. Its methods are called on the library's threads, one at a time."""

    def __init__(
        self,
        file: DeviceFile,
        store: Callable[[Incoming], None],
        log: EngineLog,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._store = store
        self._log = log
        self._clock = clock
        self._asked_for: OrderedDict[str, None] = OrderedDict()
        self._asked_at = float("-inf")

    def is_lost(self, passed: Passed) -> bool:
        """Whether WhatsApp has to deliver this message again; if so, its key is replaced already. A message that is lost for good is
        reported as undecryptable."""
        if self._file.event_spool.has_kept(passed.message_id):
            return False
        if self._may_ask(passed.message_id) and self._file.invalidate_message_key(passed):
            self._log.caution("a message was lost when this process ended: having it delivered again")
            return True
        self._log.failure("a message was lost, and cannot be had again")
        self._store(Incoming("undecryptable", payloads.lost_payload(passed.message_id, passed.sender, passed.chat)))
        return False

    def _may_ask(self, message_id: str) -> bool:
        age_s = self._clock() - self._asked_at
        if message_id in self._asked_for or TOGETHER_S < age_s < AGAIN_EVERY_S:
            return False
        if age_s >= AGAIN_EVERY_S:
            self._asked_at = self._clock()
        self._asked_for[message_id] = None
        while len(self._asked_for) > ASKED_FOR:
            self._asked_for.popitem(last=False)
        return True


def invalidate_message_key(connection: Connection, passed: Passed) -> bool:
    """Replace the message's key by a random one; return False when there is no such session or chain."""
    if passed.index is None or passed.counter is None:
        return False
    with connection.transaction():
        for address in _addresses(connection, passed.sender):
            rows = connection.execute("SELECT session FROM whatsmeow_sessions WHERE their_id = ?", (address,))
            session = read_json(rows[0][0]) if rows and isinstance(rows[0][0], bytes) else None
            if session is not None and _spoil(session, passed.index, passed.counter):
                connection.execute(
                    "UPDATE whatsmeow_sessions SET session = ? WHERE their_id = ?",
                    (msgspec.json.encode(session), address),
                )
                return True
    return False


def _spoil(session: dict[str, Any], index: int, counter: int) -> bool:
    every: list[dict[str, Any]] = session["SessionState"].get("ReceiverChains") or []
    chains = [chain for chain in every if chain["ChainKey"]["Index"] == index]
    if not chains or counter >= index:
        return False
    for chain in chains:  # several chains may be at this index; a random key does no harm in the others
        keys: list[dict[str, Any]] = chain.get("MessageKeys") or []
        chain["MessageKeys"] = keys
        if all(key["Index"] != counter for key in keys):
            keys.append({"CipherKey": _random(32), "MacKey": _random(32), "IV": _random(16), "Index": counter})
    return True


def _random(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode()


def _addresses(connection: Connection, jid: str) -> list[str]:
    """Return the names that a device's session may have: the library prefers its LID."""
    user, _, server = jid.partition("@")
    user, _, device = user.partition(":")
    device = device or "0"
    if server == "lid":
        return [f"{user}_1:{device}"]
    lid = connection.scalar("SELECT lid FROM whatsmeow_lid_map WHERE pn = ?", (user,))
    return [f"{user}:{device}", *([f"{lid}_1:{device}"] if isinstance(lid, str) else [])]
