"""Every way to write a recipient, and texts that are none."""

from __future__ import annotations

import pytest

from actors.http.model.phones import Recipient, parse_phone, parse_recipient
from actors.messages import Refused


@pytest.mark.parametrize(
    ("written", "region", "expected"),
    [
        ("+79000000001", "RU", "+79000000001"),
        ("79000000001", "RU", "+79000000001"),
        ("89000000001", "RU", "+79000000001"),
        ("9000000001", "RU", "+79000000001"),
        (" +7 (900) 000-00-01 ", "RU", "+79000000001"),
        ("8 900 000-00-01", "RU", "+79000000001"),
        ("88121234567", "RU", "+78121234567"),
        ("79000000001", "US", "+79000000001"),
        ("+79000000001", "US", "+79000000001"),
        ("+555191234567", "RU", "+555191234567"),
        ("555191234567", "BR", "+555191234567"),
        ("5215500000012", "MX", "+5215500000012"),
        ("+22997123456", "RU", "+22997123456"),
        ("+22507123456", "RU", "+22507123456"),
        ("+541112345678", "RU", "+541112345678"),
        ("4155552671", "RU", "+74155552671"),
    ],
)
def test_a_number_is_read_as_e164(written: str, region: str, expected: str) -> None:
    """With or without +, with punctuation, and national in the region; also in a plan that has ended, and in one not known yet."""
    assert parse_phone(written, region) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "+",
        "12",
        "+7900000000",
        "+790000000011",
        "89000000001x",
        "+89000000001",
        "++79000000001",
        "tel:+79000000001",
        "+79000000001;ext=5",
        "+٧٩٠٠٠٠٠٠٠٠١",
        "+7900\n0000001",
        "+7900\x000000001",
        "+" + "7" * 100,
        "\uff17\uff19" + "\uff10" * 8 + "\uff11",
    ],
)
def test_what_is_no_number_is_refused(written: str) -> None:
    """Other scripts, extensions, control characters, too short, too long: all `invalid_phone`."""
    with pytest.raises(Refused) as caught:
        parse_phone(written, "RU")

    assert caught.value.code == "invalid_phone"


@pytest.mark.parametrize("written", ["89000000001", "9000000001", "900 000-00-01", "0151 23456789"])
def test_without_a_region_a_national_number_is_refused(written: str) -> None:
    """The country is not set: the refusal names the setting, and no other country is guessed."""
    with pytest.raises(Refused, match=r"has no country code.*default_region \(WASUP_DEFAULT_REGION\)") as caught:
        parse_phone(written, None)

    assert caught.value.code == "invalid_phone"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("79000000001", "+79000000001"),
        ("+7 900 000-00-01", "+79000000001"),
        ("4915123456789", "+4915123456789"),
        ("79000000001@s.whatsapp.net", "+79000000001"),
    ],
)
def test_without_a_region_an_international_number_is_taken(written: str, expected: str) -> None:
    """With its country code it needs no region, with or without a plus."""
    assert parse_phone(written, None) == expected


def test_a_trunk_prefix_is_russian_only_at_home() -> None:
    """8XXXXXXXXXX is +7 where the region is RU, and not elsewhere."""
    assert not parse_phone("88121234567", "DE").startswith("+7")


@pytest.mark.parametrize(
    ("written", "jid", "phone"),
    [
        ("+79000000001", "79000000001@s.whatsapp.net", "+79000000001"),
        ("89000000001", "79000000001@s.whatsapp.net", "+79000000001"),
        ("79000000001@s.whatsapp.net", "79000000001@s.whatsapp.net", "+79000000001"),
        ("79000000001@c.us", "79000000001@s.whatsapp.net", "+79000000001"),
        ("555191234567@s.whatsapp.net", "555191234567@s.whatsapp.net", "+555191234567"),
        ("5215500000012@s.whatsapp.net", "5215500000012@s.whatsapp.net", "+5215500000012"),
        ("5491112345678@c.us", "5491112345678@s.whatsapp.net", "+5491112345678"),
        ("22997123456@s.whatsapp.net", "22997123456@s.whatsapp.net", "+22997123456"),
        ("22507123456@s.whatsapp.net", "22507123456@s.whatsapp.net", "+22507123456"),
        ("89000000001@s.whatsapp.net", "89000000001@s.whatsapp.net", "+89000000001"),
        ("100000000000001@lid", "100000000000001@lid", "100000000000001@lid"),
        ("120363000000000001@g.us", "120363000000000001@g.us", "120363000000000001@g.us"),
        ("79000000001-1500000000@g.us", "79000000001-1500000000@g.us", "79000000001-1500000000@g.us"),
    ],
)
def test_each_form_of_recipient_means_one_jid(written: str, jid: str, phone: str) -> None:
    """Numbers and all four kinds of JID. WhatsApp's own id is not changed, whatever plans say of its number."""
    assert parse_recipient(written, "RU") == Recipient(jid=jid, phone=phone)


@pytest.mark.parametrize(
    "written",
    [
        "@s.whatsapp.net",
        "79000000001@",
        "79000000001@example.org",
        "79000000001:3@s.whatsapp.net",
        "79000000001.0:3@s.whatsapp.net",
        "+79000000001@s.whatsapp.net",
        "0@s.whatsapp.net",
        "1234567890123456@s.whatsapp.net",
        "7900 0000001@s.whatsapp.net",
        "abc@lid",
        "1@lid",
        "status@broadcast",
        "79000000001@s.whatsapp.net@g.us",
        "120363\x00@g.us",
        "1" * 70 + "@g.us",
    ],
)
def test_what_is_no_jid_is_refused(written: str) -> None:
    """Devices, other servers, empty and malformed users are all `invalid_phone`."""
    with pytest.raises(Refused) as caught:
        parse_recipient(written, "RU")

    assert caught.value.code == "invalid_phone"


@pytest.mark.parametrize(("written", "region"), [("5191234567", "BR"), ("900 000-00-01", "US"), ("22997123456", "IT")])
def test_a_number_that_two_countries_may_have_needs_its_plus(written: str, region: str) -> None:
    """Valid in neither, possible in both: a guess would reach another person."""
    with pytest.raises(Refused, match="two countries") as caught:
        parse_phone(written, region)

    assert caught.value.code == "invalid_phone"


def test_a_refusal_does_not_repeat_the_number() -> None:
    """Refusals may be logged."""
    with pytest.raises(Refused) as caught:
        parse_recipient("+7900000000112", "RU")

    assert "7900" not in caught.value.text.replace("+79000000001", "")
