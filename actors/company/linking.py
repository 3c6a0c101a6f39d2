"""Linking a company to a phone: the present offer and the callers that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, final

import trio

from actors.company.offers import PAIRING_CODE_S, Code, PasskeyWalk
from actors.messages import Offer, Refused
from supervisor import ReplyTo

_SAID_AS_IT_IS: Final = frozenset(
    {"owned_elsewhere", "lease_lost", "storage_unavailable", "storage_full", "engine_unavailable"}
)
_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {"lease_expired": "storage_unavailable", "not_wanted": "no_active_session", "auth_unreadable": "no_active_session"}
)


def linking_refusal(code: str) -> str:
    """Return the problem's code for a linking whose session ended with ``code`` (`notices.SessionEnded`) before WhatsApp made an offer."""
    return code if code in _SAID_AS_IT_IS else _CODES.get(code, "engine_unavailable")


@final
class Linking:
    """One attempt to link. Waiting callers get the first offer; later ones are read with `offer`."""

    def __init__(self, company_id: str, phone: str | None, wall_clock: Callable[[], float]) -> None:
        self.phone = phone
        """Digits of the phone that wants a pairing code; None: QR."""
        self.code_requested = False
        self._company_id = company_id
        self._wall_clock = wall_clock
        self._qr: Code | None = None
        self._pairing_code: Code | None = None
        self.passkey: PasskeyWalk | None = None
        """Set once WhatsApp has asked for a passkey."""
        self._waiting: list[ReplyTo[Any]] = []

    def wait(self, reply: ReplyTo[Any]) -> None:
        """Send the offer to ``reply``, now or when there is one."""
        self._waiting.append(reply)
        self._answer()

    def show_qr(self, code: str, valid_s: float) -> None:
        """Offer a QR code that WhatsApp gave; it replaces the one before."""
        self._qr = Code(code, trio.current_time() + valid_s)
        self._answer()

    def show_code(self, code: str) -> None:
        """Offer a pairing code that WhatsApp gave."""
        self._pairing_code = Code(code, trio.current_time() + PAIRING_CODE_S)
        self._answer()

    def fail(self, why: Refused) -> None:
        """Refuse the waiting callers: no offer will come any more."""
        for reply in self._waiting:
            reply.fail(why)
        self._waiting.clear()

    def offer(self) -> Offer | None:
        """Return the offer that is valid now; None when there is none."""
        shown = self._qr if self.phone is None else self._pairing_code
        if shown is None or shown.expires_at <= trio.current_time():
            return None
        return Offer(
            company_id=self._company_id,
            method="qr" if self.phone is None else "code",
            qr=shown.text if self.phone is None else None,
            pairing_code=None if self.phone is None else shown.text,
            expires_at=round(self._wall_clock() + shown.expires_at - trio.current_time(), 3),
        )

    def _answer(self) -> None:
        offer = self.offer()
        if offer is not None:
            for reply in self._waiting:
                reply.reply(offer)
            self._waiting.clear()
