"""Calls between accounts: every device gets the offer and the end of the call. No sound is carried."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, final

from actors.linker.wire.jid import PN_SERVER, SERVER, Jid
from actors.linker.wire.nodes import Node, node
from tests.loopback.accounts import Account, Device, Directory

Outcome = Literal["ringing", "accepted_elsewhere", "rejected_elsewhere", "timeout", "ended", "rejected"]
MAX_CALLS: Final = 10_000
PLATFORM, VERSION = "android", "2.26.30.1"


@dataclass(slots=True)
class Call:
    """One call. ``rejected_by``: the address of the linked device that refused it; empty otherwise."""

    id: str
    caller: str
    callee: str
    video: bool
    outcome: Outcome = "ringing"
    rejected_by: str = ""


@final
class Calls:
    """The calls of one loopback. ``deliver`` keeps a node for a device until it is acknowledged."""

    def __init__(self, directory: Directory, deliver: Callable[[Device, Node], object]) -> None:
        self._directory = directory
        self._deliver = deliver
        self._calls: dict[str, Call] = {}

    def offer(self, caller: Account, callee: Account, *, video: bool, group: Jid | None = None) -> str:
        """Ring at all devices of ``callee``; the call's id."""
        call = Call(secrets.token_hex(16).upper(), caller.pn.user, callee.pn.user, video)
        if len(self._calls) >= MAX_CALLS:
            del self._calls[next(iter(self._calls))]
        self._calls[call.id] = call
        media = (node("audio", enc="opus", rate="16000"), *((node("video", enc="vp8"),) if video else ()))
        more: dict[str, str | Jid] = {"group-jid": group, "type": "group"} if group else {}
        self._tell(call, lambda attrs: Node("offer", attrs | more, media))
        return call.id

    def end(self, call_id: str, outcome: Outcome) -> None:
        """End a call: accepted or rejected on the callee's phone, not answered in time, or given up by the caller."""
        call = self._find(call_id)
        call.outcome = outcome
        reason: dict[str, str | Jid] = {} if outcome == "ended" else {"reason": outcome}
        self._tell(call, lambda attrs: Node("terminate", attrs | reason))

    def taken(self, device: Device, told: Node) -> None:
        """Take a client's node about a call: an acknowledgement; a rejection ends it for the caller and the other devices."""
        reject = told.find("reject")
        if device.connection is None:
            return
        ack: dict[str, str | Jid] = {"class": "call", "id": told.text("id"), "from": told.find_jid("to") or SERVER}
        device.connection.send(Node("ack", ack | ({"type": "reject"} if reject else {})))
        call = self._calls.get(reject.text("call-id", "")) if reject else None
        if call and call.callee == device.account.pn.user and call.outcome == "ringing":
            call.outcome, call.rejected_by = "rejected", str(device.pn)
            self._tell(call, lambda attrs: Node("terminate", attrs | {"reason": "rejected_elsewhere"}), but=device)

    def all(self) -> list[Call]:
        """Every call, oldest first."""
        return list(self._calls.values())

    def _find(self, call_id: str) -> Call:
        if call_id not in self._calls:
            raise ValueError(f"no call {call_id}")
        return self._calls[call_id]

    def _tell(self, call: Call, content: Callable[[dict[str, str | Jid]], Node], but: Device | None = None) -> None:
        caller, callee = self._account(call.caller), self._account(call.callee)
        for device in callee.devices.values():
            if device is but:
                continue
            by_lid = device.knows_lids
            who, other = (caller.lid, caller.pn) if by_lid else (caller.pn, caller.lid)
            attrs: dict[str, str | Jid] = {"call-id": call.id, "call-creator": who}
            attrs["caller_pn" if by_lid else "caller_lid"] = other
            self._deliver(device, _call(who, content(attrs)))

    def _account(self, phone: str) -> Account:
        account = self._directory.find(Jid(phone, PN_SERVER))
        assert account is not None, "a call is between accounts"
        return account


def _call(who: Jid, content: Node) -> Node:
    attrs: dict[str, str | Jid] = {
        "from": who,
        "id": secrets.token_hex(8).upper(),
        "t": str(int(time.time())),
        "platform": PLATFORM,
        "version": VERSION,
    }
    return Node("call", attrs, (content,))
