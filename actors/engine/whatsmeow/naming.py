"""Which account belongs to a phone number. WhatsApp names it, and the account may have another number than the one that was dialled:
Brazil and Argentina (an inserted 9), Mexico (a dropped 1), Benin and the Ivory Coast (new plans) keep their accounts' earlier numbers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, final

from actors.engine.device.remembered import Remembered
from actors.engine.errors import CallRefused, LibraryError
from actors.engine.whatsmeow.addressing import parse_jid
from actors.engine.whatsmeow.client import Client
from actors.engine.whatsmeow.library_queries import InquiryLibrary
from actors.engine.whatsmeow.payloads import jid_text

_VALID_S: Final = 7 * 86_400.0
"""How long WhatsApp's answer is used, since numbers change owners: as long as the record keeps the mapping of numbers to LIDs."""
_PHONE: Final = "@s.whatsapp.net"


@dataclass(frozen=True, slots=True)
class Account:
    """An account by the ids that WhatsApp gave; at least one is set."""

    pn: str | None
    lid: str | None

    @property
    def jid(self) -> str:
        """The JID to send to."""
        return self.lid or self.pn or ""


@final
class Naming:
    """The accounts that one company has looked up. `known` reads memory; `find` asks WhatsApp."""

    def __init__(self, library: InquiryLibrary, named: Remembered) -> None:
        self._library = library
        self._named = named

    def known(self, jid: str) -> str:
        """Return the id that WhatsApp has named for the number of ``jid``, or ``jid`` itself."""
        number = number_of(jid)
        return jid if number is None else self._named.get(number, since=time.time() - _VALID_S) or jid

    async def look_up(self, client: Client, jid: str, *, deadline_s: float) -> Account | None:
        """`find` for a person's JID; `CallRefused` with `no_such_recipient` for a hidden id whose number is not known."""
        parsed = parse_jid(self._library.protobufs, jid)
        if parsed.Server == "lid":
            parsed = await client.call(self._library.pn_of, parsed.SerializeToString(), deadline_s=deadline_s)
        if not parsed.User:
            text = "WhatsApp has not named the number of this hidden id; it does when its owner writes"
            raise CallRefused("no_such_recipient", text)
        return await self.find(client, parsed.User, deadline_s=deadline_s)

    async def find(self, client: Client, number: str, *, deadline_s: float) -> Account | None:
        """Ask WhatsApp for the account of a number (digits); None when it has none. Failures raise `CallRefused`."""
        account = await client.call(self._find, number, deadline_s=deadline_s)
        if account is None:
            self.forget(number)
        elif account.pn != f"{number}{_PHONE}":
            self._named.put([number], account.jid, time.time())
        return account

    async def require(self, client: Client, number: str, *, deadline_s: float) -> Account:
        """Return the account of a number. Raise `CallRefused` with `no_such_recipient` when it has none."""
        account = await self.find(client, number, deadline_s=deadline_s)
        if account is None:
            raise CallRefused("no_such_recipient", "WhatsApp was asked twice and names no account for this number")
        return account

    def forget(self, number: str) -> None:
        """Forget the account of a number: WhatsApp refuses messages to the id it had named."""
        self._named.drop([number])

    def _find(self, client: str, number: str) -> Account | None:
        """Runs on a worker thread."""
        try:
            found = self._library.is_on_whatsapp(client, number)
        except LibraryError as error:
            if "returned nothing" in error.text:  # WhatsApp's answer had no account in it
                return None
            raise
        return self._account(client, found.JID) if found.IsIn else None

    def _account(self, client: str, jid: Any) -> Account:
        """Return the account of ``jid``. The library learns the other id from the same answer."""
        if jid.Server == "lid":
            return Account(jid_text(self._library.pn_of(client, jid.SerializeToString())), jid_text(jid))
        return Account(jid_text(jid), jid_text(self._library.lid_of(client, jid.SerializeToString())))


def number_of(jid: str) -> str | None:
    """Return the digits of a JID with a phone number; None for any other JID."""
    return jid.removesuffix(_PHONE) if jid.endswith(_PHONE) else None
