"""WhatsApp gets a message's receipt only once the message lies in the event spool."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from actors.engine.whatsmeow.receipts import Receipts

RECV, SEND = "Client/Recv", "Client/Send"
LONG_S = 30.0


def message(message_id: str) -> str:
    return f'<message from="1@lid" id="{message_id}" notify="A &gt; B" t="1"><enc type="msg" v="2">00</enc></message>'


def receipt(message_id: str) -> str:
    return f'<receipt id="{message_id}" to="1@lid" type="inactive"/>'


class Beside:
    """A call on a thread of its own."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._thread.start()

    def is_held(self) -> bool:
        self._thread.join(0.05)
        return self._thread.is_alive()

    def ends(self) -> bool:
        self._thread.join(LONG_S)
        return not self._thread.is_alive()


@pytest.mark.parametrize("line", [receipt("A"), '<ack class="message" id="A" to="1@lid"/>'])
def test_a_receipt_waits_until_its_message_is_kept(line: str) -> None:
    """So do acknowledgements of messages that could not be decrypted."""
    receipts = Receipts(hold_s=LONG_S)
    receipts.note(RECV, message("A"))
    sending = Beside(receipts.note, SEND, line)
    assert sending.is_held()
    receipts.kept("A")

    assert sending.ends()


@pytest.mark.parametrize(
    ("logger", "line"),
    [
        (SEND, receipt("B")),
        (SEND, '<ack class="receipt" id="A" to="1@lid"/>'),
        (SEND, '<iq id="A" type="get"/>'),
        ("Client/Socket", receipt("A")),
        ("Client", message("A")),
    ],
)
def test_everything_else_passes(logger: str, line: str) -> None:
    """Receipts of other messages, other nodes, other loggers."""
    receipts = Receipts(hold_s=LONG_S)
    receipts.note(RECV, message("A"))

    assert Beside(receipts.note, logger, line).ends()


def test_few_messages_are_read_ahead() -> None:
    """So that few are lost at worst, and few of the library's threads wait."""
    receipts = Receipts(hold_s=LONG_S, ahead=2)
    receipts.note(RECV, message("A"))
    receipts.note(RECV, message("B"))
    third = Beside(receipts.note, RECV, message("C"))
    assert third.is_held()
    receipts.kept("B")

    assert third.ends()


def test_what_is_never_handed_over_holds_nobody_for_ever() -> None:
    """Some messages are for no application, and the library reports none of them."""
    receipts = Receipts(hold_s=0.05, ahead=1)
    receipts.note(RECV, message("A"))

    assert Beside(receipts.note, RECV, message("B")).ends()
    assert Beside(receipts.note, SEND, receipt("B")).ends()


def test_a_refused_receipt_waits_for_the_end_of_the_connection() -> None:
    """However long that takes; the message does not count as being under way."""
    receipts = Receipts(hold_s=0.01, ahead=1)
    receipts.note(RECV, message("A"))
    receipts.refuse("A")
    receipts.note(RECV, message("B"))
    sending = Beside(receipts.note, SEND, receipt("A"))
    assert sending.is_held()
    receipts.close()

    assert sending.ends()


def test_a_client_that_is_stopped_lets_its_reader_go_first() -> None:
    """The library waits for its reader when it disconnects; receipts are held until then."""
    receipts = Receipts(hold_s=LONG_S, ahead=1)
    receipts.note(RECV, message("A"))
    reading, sending = Beside(receipts.note, RECV, message("B")), Beside(receipts.note, SEND, receipt("A"))
    receipts.let_go()
    assert reading.ends()
    assert sending.is_held()
    receipts.close()

    assert sending.ends()


@pytest.mark.parametrize(
    "line",
    [
        receipt("A"),
        receipt("B"),
        '<ack class="message" id="C" to="1@lid"/>',
        '<receipt id="D" to="1@lid" type="retry"><retry count="1"/></receipt>',
        '<ack class="notification" id="E" to="1@lid"/>',
    ],
)
def test_once_something_could_not_be_stored_nothing_is_acknowledged(line: str) -> None:
    """Whichever message it is for, and however long the connection lasts."""
    receipts = Receipts(hold_s=0.01)
    receipts.note(RECV, message("A"))
    receipts.hold_all()
    sending = Beside(receipts.note, SEND, line)
    assert sending.is_held()
    receipts.close()

    assert sending.ends()


def test_other_nodes_leave_all_the_same() -> None:
    """Queries tell WhatsApp nothing about which messages arrived."""
    receipts = Receipts(hold_s=LONG_S)
    receipts.hold_all()

    assert Beside(receipts.note, SEND, '<iq id="A" type="get"/>').ends()
