"""The owner of a Signal session: a phone number or a LID. Baileys 7 writes it into the address, Baileys 6 does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, final

import phonenumbers

from storage.baileys.names import DOMAINS
from storage.whatsmeow.codec import CodecError

Kind: TypeAlias = Literal["pn", "lid"]

LID_DOMAIN: Final = "1"
_LID_DIGITS: Final = 14
"""LIDs have this many digits or more."""


@final
class Addresses:
    """What the directory says about users, and the addresses that follow."""

    def __init__(self, *, is_v7: bool, lids: Iterable[str], numbers: Iterable[str]) -> None:
        self._is_v7 = is_v7
        self._lids = frozenset(lids)
        self._numbers = frozenset(numbers)

    def resolve(self, user: str) -> tuple[str, Kind, str | None]:
        """Return the user part of whatsmeow's address for the user part of Baileys', its kind, and the reason if the kind was guessed.

        `CodecError` for a domain that neither side knows.
        """
        name, underscore, domain = user.partition("_")
        if underscore:
            if domain not in DOMAINS:
                raise CodecError(f"an address of the unknown domain {domain}")
            return user, "pn" if domain == "128" else "lid", None
        if self._is_v7 or name in self._numbers:
            return name, "pn", None
        if name in self._lids:
            return f"{name}_{LID_DOMAIN}", "lid", None
        return self._guess(name)

    def _guess(self, name: str) -> tuple[str, Kind, str | None]:
        if _is_phone_number(name):
            return name, "pn", None
        if len(name) >= _LID_DIGITS:
            return f"{name}_{LID_DOMAIN}", "lid", f"no phone number, and of {len(name)} digits as LIDs are"
        return name, "pn", "no known phone number, but too short for a LID"


def _is_phone_number(digits: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}"))
    except phonenumbers.NumberParseException:
        return False
