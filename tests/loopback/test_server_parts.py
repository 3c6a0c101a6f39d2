"""Parts of the server that need no client: mailboxes, queries about users, key bundles, faults."""

from __future__ import annotations

import pytest

from actors.linker.wire.jid import Jid, parse_jid
from actors.linker.wire.nodes import MissingPartError, Node, leaf, node
from tests.loopback.accounts import Device, Directory
from tests.loopback.curve import DJB_TYPE, KeyPair, verify
from tests.loopback.faults import Faults
from tests.loopback.mailbox import MAX_STORED, Mailbox, MailboxFullError
from tests.loopback.prekeys import KeyBundle
from tests.loopback.usync import answer_usync

PHONE, LID = "79000000001", "100000000000001"
PN_JID, LID_JID = Jid(PHONE, "s.whatsapp.net"), Jid(LID, "lid")
SENDER = Jid("79000000002", "s.whatsapp.net", 1)


@pytest.fixture
def directory() -> Directory:
    """One account with two linked devices."""
    directory = Directory()
    account = directory.add(PHONE, LID, "User")
    for _ in range(2):
        number = account.next_device()
        account.devices[number] = Device(number, account, bytes(32), KeyBundle.invented(account.identity), "android")
    return directory


def upload(*numbers: int) -> Node:
    """A client's upload of one-time keys with these numbers."""
    keys = [
        node("key", leaf("id", number.to_bytes(3, "big")), leaf("value", bytes([number]) * 32)) for number in numbers
    ]
    return node(
        "iq",
        leaf("registration", bytes(4)),
        leaf("type", DJB_TYPE),
        leaf("identity", bytes(32)),
        node("list", *keys),
        node("skey", leaf("id", bytes(3)), leaf("value", bytes(32)), leaf("signature", bytes(64))),
    )


def stored(tag: str, id_: str, **attrs: str) -> Node:
    """Something that waits for a device."""
    return node(tag, from_=SENDER, id=id_, **attrs)


def test_a_mailbox_keeps_order_and_forgets_what_is_acknowledged() -> None:
    """Nodes leave in the order they came; an acknowledged one is gone, the others stay."""
    mailbox = Mailbox()
    for number in ("1", "2", "3"):
        mailbox.put(stored("message", number))

    assert mailbox.acknowledge("message", "2", str(SENDER.account), "")
    assert [waiting.text("id") for waiting in mailbox] == ["1", "3"]
    assert not mailbox.acknowledge("message", "2", "", "")


def test_receipts_of_one_message_are_kept_apart() -> None:
    """A delivered and a read receipt of the same message wait and are acknowledged separately."""
    mailbox = Mailbox()
    mailbox.put(stored("receipt", "1"))
    mailbox.put(stored("receipt", "1", type_="read"))

    mailbox.acknowledge("receipt", "1", str(SENDER), "read")

    assert [waiting.attrs.get("type") for waiting in mailbox] == [None]


def test_a_mailbox_is_bounded() -> None:
    """A device that acknowledges nothing does not fill the memory."""
    mailbox = Mailbox()
    for number in range(MAX_STORED):
        mailbox.put(stored("message", str(number)))

    with pytest.raises(MailboxFullError):
        mailbox.put(stored("message", "one more"))


def test_one_time_keys_are_given_out_once() -> None:
    """Each bundle has another one-time key; when none is left, bundles have only the signed one."""
    bundle = KeyBundle.invented(KeyPair.generate())
    bundle.upload(upload(1, 2))

    given = [bundle.take(Node("user")).find("key") for _ in range(3)]

    assert [key.child("id").data if key else None for key in given] == [b"\0\0\1", b"\0\0\2", None]
    assert bundle.count == 0


def test_a_malformed_upload_changes_nothing() -> None:
    """An upload with a key of the wrong size is refused as a whole."""
    bundle = KeyBundle.invented(KeyPair.generate())
    broken = upload(1)
    short = node("list", node("key", leaf("id", bytes(3)), leaf("value", bytes(31))))
    broken = Node("iq", {}, tuple(short if part.tag == "list" else part for part in broken.children))

    with pytest.raises(MissingPartError, match="32 bytes"):
        bundle.upload(broken)
    assert bundle.count == 0


def test_a_phone_signs_its_invented_key() -> None:
    """Clients verify the signature of a phone's signed pre-key; it must hold."""
    identity = KeyPair.generate()

    signed = KeyBundle.invented(identity).signed

    assert verify(identity.public, DJB_TYPE + signed.value, signed.signature)


def test_usync_tells_devices_and_lid(directory: Directory) -> None:
    """A known number has its phone, its devices and its LID."""
    asked = node("query", node("devices", version="2"), node("lid"))
    query = node("usync", asked, node("list", node("user", jid=PN_JID)), sid="1")

    (user,) = answer_usync(query, directory).child("list").children

    ids = [device.text("id") for device in user.child("devices").child("device-list").children]
    assert ids == ["0", "1", "2"]
    assert user.child("lid").jid("val") == LID_JID


@pytest.mark.parametrize("number", ["+79000000001", "79000000001@c.us"])
def test_usync_finds_a_contact_in_either_form(directory: Directory, number: str) -> None:
    """Both clients' ways of asking for a number find the account."""
    query = node("usync", node("query", node("contact")), node("list", node("user", leaf("contact", number.encode()))))

    (user,) = answer_usync(query, directory).child("list").children

    assert user.jid("jid") == PN_JID
    assert user.child("contact").text("type") == "in"


def test_usync_does_not_know_strangers(directory: Directory) -> None:
    """A number that is not on WhatsApp is out and has neither devices nor LID."""
    asked = node("query", node("contact"), node("devices"), node("lid"))
    query = node("usync", asked, node("list", node("user", jid=Jid("79000000099", "s.whatsapp.net"))))

    (user,) = answer_usync(query, directory).child("list").children

    assert [part.tag for part in user.children] == ["contact"]
    assert user.child("contact").text("type") == "out"


def test_a_number_exists_once(directory: Directory) -> None:
    """A second account with the number or the LID is refused, as is one that is not digits."""
    with pytest.raises(ValueError, match="exists already"):
        directory.add(PHONE, "100000000000009", "")
    with pytest.raises(ValueError, match="exists already"):
        directory.add("79000000009", LID, "")
    with pytest.raises(ValueError, match="digits"):
        directory.add("+79000000009", "100000000000009", "")


def test_refusals_count_down_and_are_personal() -> None:
    """A refusal meets only its number and only so many times."""
    faults = Faults()
    faults.refuse(503, times=1, phone=PHONE, attrs={})

    assert faults.take_refusal("79000000002") is None
    assert getattr(faults.take_refusal(PHONE), "code", None) == 503
    assert faults.take_refusal(PHONE) is None


def test_faults_that_cannot_be_are_refused() -> None:
    """A typing error in a test is an error, not a fault that never takes effect."""
    faults = Faults()

    with pytest.raises(ValueError, match="refusal code 404"):
        faults.refuse(404, times=None, phone=None, attrs={})
    with pytest.raises(ValueError, match="at least 1"):
        faults.refuse(503, times=0, phone=None, attrs={})
    with pytest.raises(ValueError, match="'messages' cannot be held"):
        faults.hold("messages", None)


@pytest.mark.parametrize("text", ["79000000001@s.whatsapp.net", "79000000001:7@s.whatsapp.net", "s.whatsapp.net"])
def test_addresses_read_back(text: str) -> None:
    """An address is written as it was read."""
    assert str(parse_jid(text)) == text
