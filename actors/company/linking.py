"""Linking a company to a phone: what is on offer and who waits for it."""

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
    """The problem that a linking ends in when its session ends by ``code`` (`notices.SessionEnded`) before WhatsApp offered anything."""
    return code if code in _SAID_AS_IT_IS else _CODES.get(code, "engine_unavailable")


@final
class Linking:
    """One attempt to link. Who waits gets the first offer; later ones are read with `offer`."""

    def __init__(self, company_id: str, phone: str | None, wall_clock: Callable[[], float]) -> None:
        self.phone = phone
        """Digits of the phone that wants a pairing code; None: QR."""
        self.code_requested = False
        self._company_id = company_id
        self._wall_clock = wall_clock
        self._qr: Code | None = None
        self._pairing_code: Code | None = None
        self.passkey: PasskeyWalk | None = None
        """Where WhatsApp has asked for one."""
        self._waiting: list[ReplyTo[Any]] = []

    def wait(self, reply: ReplyTo[Any]) -> None:
        """Answer ``reply`` with the offer, now or when there is one."""
        self._waiting.append(reply)
        self._answer()

    def show_qr(self, code: str, valid_s: float) -> None:
        """WhatsApp gave a QR code; it replaces the one before."""
        self._qr = Code(code, trio.current_time() + valid_s)
        self._answer()

    def show_code(self, code: str) -> None:
        """WhatsApp gave a pairing code."""
        self._pairing_code = Code(code, trio.current_time() + PAIRING_CODE_S)
        self._answer()

    def fail(self, why: Refused) -> None:
        """No offer will come any more."""
        for reply in self._waiting:
            reply.fail(why)
        self._waiting.clear()

    def offer(self) -> Offer | None:
        """What is valid now; None when nothing is."""
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
