"""Who a message goes to: every accepted way to write a recipient, and the one JID it means."""

from __future__ import annotations

import re
from dataclasses import dataclass

import phonenumbers

from actors.messages import Refused

MAX_LENGTH = 64

# ASCII only: phonenumbers by itself also takes other scripts' digits, "tel:" and extensions.
_WRITTEN = re.compile(r"\+?[0-9][0-9 ().-]*", re.ASCII)
_LID = re.compile(r"[0-9]{5,20}", re.ASCII)
_GROUP = re.compile(r"[0-9]{10,20}(-[0-9]{9,11})?", re.ASCII)
_RUSSIAN_TRUNK = re.compile(r"8[0-9]{10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message goes."""

    jid: str
    """Full JID: ``…@s.whatsapp.net``, ``…@lid`` or ``…@g.us``."""
    phone: str
    """What answers repeat: ``+`` and E.164 digits, or the JID itself where no number is known."""


def parse_recipient(written: str, region: str) -> Recipient:
    """Read a recipient: a phone number in any form `parse_phone` takes, or a JID of a person, LID or group.

    Refused: `invalid_phone`.
    """
    text = written.strip()
    if len(text) > MAX_LENGTH:
        raise _invalid(f"is longer than {MAX_LENGTH} characters")
    user, at, server = text.partition("@")
    if not at:
        return _person(parse_phone(text, region))
    if server in {"s.whatsapp.net", "c.us"}:
        return _person(parse_phone(f"+{user}", region))
    if (server == "lid" and _LID.fullmatch(user)) or (server == "g.us" and _GROUP.fullmatch(user)):
        return Recipient(jid=text, phone=text)
    raise _invalid("is neither a phone number nor a JID of a person (@s.whatsapp.net, @c.us, @lid) or group (@g.us)")


def parse_phone(written: str, region: str) -> str:
    """The number in E.164 with ``+``.

    With ``+`` the country code is taken as written. Without it the digits are read as an international number and, if that is
    none, as a number of ``region``; eleven digits that begin with 8 are a Russian number first when the region is RU.
    Refused: `invalid_phone`.
    """
    text = written.strip()
    if len(text) > MAX_LENGTH or not _WRITTEN.fullmatch(text):
        raise _invalid("must be digits, with or without a leading +")
    digits = "".join(filter(str.isdigit, text))
    if text.startswith("+"):
        attempts: list[tuple[str, str | None]] = [(f"+{digits}", None)]
    else:
        attempts = [(f"+{digits}", None), (digits, region)]
        if region == "RU" and _RUSSIAN_TRUNK.fullmatch(digits):
            attempts.reverse()
    for candidate, home in attempts:
        found = _valid_e164(candidate, home)
        if found is not None:
            return found
    raise _invalid("is not a number that can exist: write it in E.164, like +79000000001")


def _valid_e164(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _person(e164: str) -> Recipient:
    return Recipient(jid=f"{e164[1:]}@s.whatsapp.net", phone=e164)


def _invalid(why: str) -> Refused:
    # The number itself stays out: refusals may be logged.
    return Refused("invalid_phone", f"phone {why}")
