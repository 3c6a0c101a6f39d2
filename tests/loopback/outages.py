"""What tests do to a loopback WhatsApp: cut, frozen and refused streams, bans, restrictions, refused versions.

Phone numbers are digits; where a method takes ``phone=None``, None means everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actors.linker.wire.nodes import Node, node
from tests.loopback.accounts import Account, Directory
from tests.loopback.connection import Connection
from tests.loopback.faults import Faults
from tests.loopback.restrictions import Restrictions
from tests.loopback.session import REPLACED, Sessions
from tests.loopback.versions import Announced, Versions

TEMPORARY_BAN: Final = 402


class Outages:
    """The part of `Loopback` that breaks things."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.directory = Directory()
        self.versions = Versions()
        self._restrictions = Restrictions()
        self._connections: set[Connection] = set()

    @property
    def sessions(self) -> Sessions:
        """What serves the streams."""
        raise NotImplementedError

    def account(self, number: str) -> Account:
        """The account of a phone number; ValueError when there is none."""
        raise NotImplementedError

    def drop(self, phone: str | None = None) -> int:
        """Cut streams as a pulled cable does; return how many."""
        cut = tuple(self._of(phone))
        for connection in cut:
            connection.cut()
        return len(cut)

    def freeze(self, phone: str | None = None) -> None:
        """Half-open: streams stay open, but nothing is received or sent on them until `thaw`. Holds for new ones too."""
        self.faults.frozen.add(phone)

    def thaw(self, phone: str | None = None) -> None:
        """End `freeze` (None: of everybody); what waited for devices is sent."""
        self.faults.frozen = set() if phone is None else self.faults.frozen - {phone}
        for device in self.directory.devices():
            if device.listening and device.account.pn.user == (phone or device.account.pn.user):
                self.sessions.router.send_stored(device)

    def refuse(
        self, code: int, times: int | None = None, phone: str | None = None, attrs: dict[str, str] | None = None
    ) -> None:
        """Refuse log-ins with ``<failure reason=code>``: the next ``times``, or until `accept`."""
        self.faults.refuse(code, times=times, phone=phone, attrs=attrs or {})

    def accept(self) -> None:
        """End every `refuse` and `ban`."""
        self.faults.refusals.clear()

    def ban(self, phone: str, expires_in_s: int, code: int = 101) -> None:
        """Ban an account for a time: its streams are cut and log-ins refused with 402, until `accept`."""
        self.refuse(TEMPORARY_BAN, phone=phone, attrs={"code": str(code), "expire": str(expires_in_s)})
        self.drop(phone)

    def restrict(
        self, phone: str, *, code: int = 463, expires_in_s: float | None = None, silently: bool = False
    ) -> None:
        """Let an account write only to people who wrote to it, for a time or until `lift`: other messages get this error.

        Its devices are notified, also of the end where that is known, unless it happens ``silently``. 463 or 475.
        """
        account, tell = self.account(phone), self.sessions.router.deliver
        self._restrictions.restrict(account, tell, code=code, expires_in_s=expires_in_s, silently=silently)

    def lift(self, phone: str) -> None:
        """End `restrict`; the devices are notified."""
        self._restrictions.lift(self.account(phone), self.sessions.router.deliver)

    def refuse_version(self, below: int, fraction: float = 1.0, after_s: float = 0.0) -> None:
        """Refuse log-ins and registrations of versions below 2.3000.``below`` with 405; `Versions.refuse_below` has the rest."""
        self.versions.refuse_below(below, fraction=fraction, after_s=after_s)

    def publish_version(self, revision: int) -> None:
        """Have the page of web.whatsapp.com state this revision; 0: a page that states none."""
        self.versions.publish(revision)

    def announced(self) -> list[Announced]:
        """The versions that clients announced at log-in and registration, oldest first."""
        return list(self.versions.announced)

    def stream_error(self, code: int, phone: str | None = None) -> int:
        """End streams with ``<stream:error code>`` (503: the server restarts; 515: restart the stream); how many."""
        return self._close(phone, node("stream:error", code=str(code)))

    def replace(self, phone: str) -> int:
        """Tell devices that another client took their place (conflict, type replaced); how many."""
        return self._close(phone, REPLACED)

    def cut_after_pairing(self, *, on: bool = True) -> None:
        """Cut the stream after linking, before the restart notice: neonize then stays linked and never connects."""
        self.faults.cut_after_pairing = on

    def hold(self, tag: str, phone: str | None = None) -> None:
        """Hold back nodes the server would send: ``iq``, ``ack``, ``message``, ``receipt``, ``success`` and others."""
        self.faults.hold(tag, phone)

    def release(self) -> None:
        """End every `hold`; what was held back is sent in order."""
        self.faults.holds.clear()
        for connection in tuple(self._connections):
            connection.release()

    def heal(self) -> None:
        """End every fault."""
        self.accept()
        self.cut_after_pairing(on=False)
        self.release()
        self.thaw()

    def _close(self, phone: str | None, farewell: Node) -> int:
        closed = 0
        for connection in self._of(phone):
            if connection.device:
                connection.close(farewell)
                closed += 1
        return closed

    def _of(self, phone: str | None) -> Iterator[Connection]:
        return (one for one in tuple(self._connections) if phone is None or one.phone == phone)
