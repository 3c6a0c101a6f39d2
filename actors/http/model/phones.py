"""Recipients: every accepted way to write one, and the one JID it means.

Only WhatsApp knows whether a number exists; phonenumbers only reads what was written. A number that it calls valid decides in which
country's form it was written. One that is merely possible is accepted too, because WhatsApp has accounts with numbers of earlier plans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumber, ValidationResult

from actors.messages import Refused

MAX_LENGTH = 64

# ASCII only: phonenumbers itself also accepts digits of other scripts, "tel:" and extensions.
_WRITTEN = re.compile(r"\+?[0-9][0-9 ().-]*", re.ASCII)
_PERSON = re.compile(r"[1-9][0-9]{4,14}", re.ASCII)
_LID = re.compile(r"[0-9]{5,20}", re.ASCII)
_GROUP = re.compile(r"[0-9]{10,20}(-[0-9]{9,11})?", re.ASCII)
_PERSON_SERVERS: Final = frozenset({"s.whatsapp.net", "c.us"})
_RUSSIAN_TRUNK = re.compile(r"8[0-9]{10}", re.ASCII)
_EARLIER_PLANS: Final = frozenset({(52, 11), (225, 8), (229, 8)})
"""Numbering plans that have ended but in which WhatsApp still names accounts, as country code and number of digits after it: Mexico's 1
before mobile numbers, the eight digits of Ivory Coast and Benin.
"""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message goes."""

    jid: str
    """Full JID: ``…@s.whatsapp.net``, ``…@lid`` or ``…@g.us``."""
    phone: str
    """The recipient as responses repeat it: ``+`` and E.164 digits, or the JID itself when no number is known."""


def parse_recipient(written: str, region: str | None) -> Recipient:
    """Return the recipient for a phone number in any form that `parse_phone` accepts, or for a JID of a person, LID or group.

    Refused: `invalid_phone`.
    """
    text = written.strip()
    if len(text) > MAX_LENGTH:
        raise _invalid(f"is longer than {MAX_LENGTH} characters")
    user, at, server = text.partition("@")
    if not at or server in _PERSON_SERVERS:
        e164 = parse_phone(text, region)
        return Recipient(jid=f"{e164[1:]}@s.whatsapp.net", phone=e164)
    if (server == "lid" and _LID.fullmatch(user)) or (server == "g.us" and _GROUP.fullmatch(user)):
        return Recipient(jid=text, phone=text)
    raise _invalid("is neither a phone number nor a JID of a person (@s.whatsapp.net, @c.us, @lid) or group (@g.us)")


def parse_phone(written: str, region: str | None) -> str:
    """Return the number with ``+``: E.164, or the unchanged digits of a WhatsApp id (``…@s.whatsapp.net``, ``…@c.us``).

    With ``+`` the country code is taken as written. Without it the digits are read as an international number and as a number of
    ``region``: the first valid reading counts, else the only possible one. Eleven digits that begin with 8 are read as a Russian number
    first when the region is RU. Without a region, digits without ``+`` count only if they are a valid number with its country code: a
    national number that looks possible in another country would reach a stranger. Refused: `invalid_phone`.
    """
    text = written.strip()
    user, at, server = text.partition("@")
    if at and server in _PERSON_SERVERS and _PERSON.fullmatch(user):
        return f"+{user}"
    if len(text) > MAX_LENGTH or not _WRITTEN.fullmatch(text):
        raise _invalid("must be digits, with or without a leading +")
    possible: set[str] = set()
    for number in _readings(text, region):
        if phonenumbers.is_valid_number(number):
            return _e164(number)
        if _is_possible(number) and (region is not None or text.startswith("+")):
            possible.add(_e164(number))
    if region is None and not text.startswith("+"):
        raise _invalid(
            "has no country code: write it in E.164, like +79000000001,"
            " or set default_region (WASUP_DEFAULT_REGION) to the country of such numbers"
        )
    return _only(possible)


def _readings(text: str, region: str | None) -> Iterator[PhoneNumber]:
    digits = "".join(filter(str.isdigit, text))
    attempts: list[tuple[str, str | None]] = [(f"+{digits}", None)]
    if region is not None and not text.startswith("+"):
        attempts.append((digits, region))
        if region == "RU" and _RUSSIAN_TRUNK.fullmatch(digits):
            attempts.reverse()
    for candidate, home in attempts:
        try:
            yield phonenumbers.parse(candidate, home)
        except phonenumbers.NumberParseException:
            continue


def _only(possible: set[str]) -> str:
    """Return the only possible number. Refused: `invalid_phone` when there are none or several."""
    if len(possible) > 1:  # a guess would reach a stranger
        raise _invalid("can be read as a number of two countries: write it with + and its country code")
    if not possible:
        raise _invalid("is not a number that can exist: write it in E.164, like +79000000001")
    return possible.pop()


def _is_possible(number: PhoneNumber) -> bool:
    if phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE:
        return True
    national = phonenumbers.national_significant_number(number)
    return (number.country_code, len(national)) in _EARLIER_PLANS


def _e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _invalid(why: str) -> Refused:
    # The number itself is left out: refusals may be logged.
    return Refused("invalid_phone", f"phone {why}")
