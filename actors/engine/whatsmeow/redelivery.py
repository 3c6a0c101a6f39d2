"""What becomes of a message that comes when its key has been used already.

Mostly it came before. But when this process was killed after the library decrypted it and before it was in the event spool, it is
lost here, and the library drops every repetition. Then its key is replaced by one that does not fit: delivered once more, the message
cannot be decrypted, the library asks its sender for it, and the sender's phone encrypts it again.
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
from actors.engine.whatsmeow.receipts import Passed
from config.json_text import read_json

if TYPE_CHECKING:
    from actors.engine.device.file import DeviceFile

AGAIN_EVERY_S: Final = 30.0
"""Each time costs a log-in; what is found lost sooner is only reported."""
TOGETHER_S: Final = 5.0
"""What is found lost within so long is asked for by the same log-in."""
ASKED_FOR: Final = 500


@final
class Redelivery:
    """For one open device file. Called on the library's threads, one at a time."""

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
        """Whether WhatsApp has to deliver this message again, for which everything is prepared then. One that is lost for good is
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
    """Put a key that fits nothing where the message's key was; False when there is no such session or chain."""
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
    for chain in chains:  # more than one may have come as far; a key that fits nothing does no harm in the others
        keys: list[dict[str, Any]] = chain.get("MessageKeys") or []
        chain["MessageKeys"] = keys
        if all(key["Index"] != counter for key in keys):
            keys.append({"CipherKey": _random(32), "MacKey": _random(32), "IV": _random(16), "Index": counter})
    return True


def _random(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode()


def _addresses(connection: Connection, jid: str) -> list[str]:
    """The names that a device's session may have: the library prefers its LID."""
    user, _, server = jid.partition("@")
    user, _, device = user.partition(":")
    device = device or "0"
    if server == "lid":
        return [f"{user}_1:{device}"]
    lid = connection.scalar("SELECT lid FROM whatsmeow_lid_map WHERE pn = ?", (user,))
    return [f"{user}:{device}", *([f"{lid}_1:{device}"] if isinstance(lid, str) else [])]
