"""Accounts that WhatsApp restricts for a time ("reachout timelock"): they may write only to people who wrote to them.

Two shapes, as seen with real accounts: the notice when a restriction begins or ends, and the negative acknowledgement of a
message. An account may get the second without the first. The phone itself is not restricted, and groups are not.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from actors.linker.wire.jid import SERVER
from actors.linker.wire.nodes import Node, leaf, node
from tests.loopback.accounts import Account, Device

CODES: Final = frozenset({463, 475})
ENFORCEMENT: Final = "RESTRICT_ALL_COMPANIONS"
_NOTICE: Final = "NotificationUserReachoutTimelockUpdate"


@dataclass(frozen=True, slots=True)
class Restriction:
    """One account's restriction. ``ends``: Unix seconds; None: unknown, until it is lifted."""

    code: int
    ends: float | None

    @property
    def active(self) -> bool:
        """Whether it holds now."""
        return self.ends is None or time.time() < self.ends


@final
class Restrictions:
    """The restricted accounts of one loopback, and who has written to whom."""

    def __init__(self) -> None:
        self._restricted: dict[Account, Restriction] = {}
        self._wrote: set[tuple[Account, Account]] = set()

    def restrict(
        self,
        account: Account,
        tell: Callable[[Device, Node], object],
        *,
        code: int,
        expires_in_s: float | None,
        silently: bool,
    ) -> None:
        """Restrict an account; ``tell`` notifies its devices unless it happens ``silently``. ValueError for another code."""
        if code not in CODES:
            raise ValueError(f"code {code} is none of {sorted(CODES)}")
        ends = None if expires_in_s is None else time.time() + expires_in_s
        self._restricted[account] = Restriction(code, ends)
        if not silently:
            _tell(account, tell, ends, active=True)

    def lift(self, account: Account, tell: Callable[[Device, Node], object]) -> None:
        """End a restriction before its time; its devices are notified."""
        if self._restricted.pop(account, None):
            _tell(account, tell, None, active=False)

    def refusal(self, sender: Account, recipient: Account) -> str:
        """The error of a message between two accounts; empty when it may pass. A message that passes is remembered."""
        held = self._restricted.get(sender)
        if held and held.active and sender is not recipient and (recipient, sender) not in self._wrote:
            return str(held.code)
        self._wrote.add((sender, recipient))
        return ""


def _tell(account: Account, tell: Callable[[Device, Node], object], ends: float | None, *, active: bool) -> None:
    told: dict[str, object] = {"enforcement_type": ENFORCEMENT, "is_active": active}
    if ends is not None:
        told["time_enforcement_ends"] = str(int(ends))
    update = json.dumps({"data": {"xwa2_notify_account_reachout_timelock": told}}).encode()
    notice = node(
        "notification",
        leaf("update", update, op_name=_NOTICE),
        from_=SERVER,
        type_="mex",
        id=secrets.token_hex(5),
        t=str(int(time.time())),
    )
    for device in account.devices.values():
        tell(device, notice)
