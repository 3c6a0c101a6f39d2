"""Numbers that are dialled in another form than the account's own: the real library against a WhatsApp that names the account."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from actors.engine.device.remembered import EXACT_S, Remembered
from actors.engine.protocol import messages as p
from tests.engine.companies import LIDS, A, linked, say
from tests.engine.conftest import BuildFile
from tests.engine.daemon import Engine, Link, run_engine
from tests.loopback.loopback import Loopback
from tests.loopback.server import open_loopback

LID: Final = "100000000000055@lid"


@dataclass(frozen=True)
class Plan:
    """A country whose accounts keep a number that people no longer dial."""

    dialled: str
    own: str

    @property
    def dialled_jid(self) -> str:
        """The address made of the dialled number."""
        return f"{self.dialled}@s.whatsapp.net"

    @property
    def own_jid(self) -> str:
        """The address that WhatsApp names."""
        return f"{self.own}@s.whatsapp.net"


BRAZIL: Final = Plan("5551991234567", "555191234567")
PLANS: Final = {
    "Brazil": BRAZIL,
    "Mexico": Plan("525500000012", "5215500000012"),
    "Argentina": Plan("5491112345678", "541112345678"),
    "Benin": Plan("2290197123456", "22997123456"),
}


@dataclass(frozen=True)
class Pair:
    """A company, and another whose account answers to a number that is not its own."""

    company: Link
    other: Link
    engine: Engine
    loopback: Loopback


@pytest.fixture
async def pair(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """Both linked; they know nothing of each other."""
    plan: Plan = getattr(request, "param", BRAZIL)
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        LIDS[plan.own] = LID.partition("@")[0]
        other = await linked(engine, loopback, "b", plan.own)
        loopback.dial(plan.dialled, plan.own)
        yield Pair(await linked(engine, loopback, "a", A), other, engine, loopback)


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "plan"), [(plan, plan) for plan in PLANS.values()], ids=PLANS, indirect=["pair"])
async def test_a_dialled_number_reaches_the_account_that_whatsapp_names(pair: Pair, plan: Plan) -> None:
    """No address has that number, so the library finds no account; asked once more, WhatsApp names the account."""
    sent = await say(pair.company, plan.dialled_jid, "hello")
    message = await pair.other.hear_message()

    assert (message["text"], message["messageId"]) == ("hello", sent.message_id)


@pytest.mark.slow
async def test_whatsapp_is_asked_once(pair: Pair) -> None:
    """The second message to the number, and those after a restart of the session, need no query."""
    await say(pair.company, BRAZIL.dialled_jid, "first")
    await say(pair.company, BRAZIL.dialled_jid, "second")
    after_second = pair.loopback.directory.asked
    await pair.company._socket.aclose()
    again = await pair.engine.link("a", pair.company.record)
    await again.open(pair.loopback.endpoints.proxy_url)
    await again.call(p.Connect)
    await again.hear(p.Connected)
    await say(again, BRAZIL.dialled_jid, "third")

    # All queries cannot be counted: the other side sends some as well, for keys, when a message has come.
    assert (after_second, pair.loopback.directory.asked) == (1, 1)
    assert [(await pair.other.hear_message())["text"] for _ in range(3)] == ["first", "second", "third"]


@pytest.mark.slow
async def test_an_id_of_whatsapps_is_sent_to_as_it_is(pair: Pair) -> None:
    """Whatever today's plans say of its number: no query is repeated."""
    await say(pair.company, BRAZIL.own_jid, "hello")

    assert (await pair.other.hear_message())["text"] == "hello"


@pytest.mark.slow
async def test_a_contact_has_the_id_that_whatsapp_names(pair: Pair) -> None:
    """Asked by either number, or by the hidden id once WhatsApp has named its number."""
    early = await pair.company.call(p.CheckNumber, jid=LID, timeout_s=10.0)
    found = [
        await pair.company.call(p.CheckNumber, jid=jid, timeout_s=10.0)
        for jid in (BRAZIL.dialled_jid, BRAZIL.own_jid, LID)
    ]

    assert (type(early), early.code) == (p.Failed, "no_such_recipient")
    assert [(one.exists, one.pn, one.lid) for one in found] == [(True, BRAZIL.own_jid, LID)] * 3


@pytest.mark.slow
async def test_typing_and_reading_go_to_the_account(pair: Pair) -> None:
    """As soon as WhatsApp has named it."""
    await pair.company.call(p.CheckNumber, jid=BRAZIL.dialled_jid, timeout_s=10.0)
    theirs = await say(pair.other, f"{A}@s.whatsapp.net", "hello?")
    await pair.company.hear_message()
    read = await pair.company.call(
        p.MarkRead, chat=BRAZIL.dialled_jid, message_ids=(theirs.message_id,), sender=None, timeout_s=10.0
    )
    typing = await pair.company.call(p.SetTyping, to=BRAZIL.dialled_jid, state="composing", timeout_s=10.0)
    kinds: list[str] = []
    while "read" not in kinds:
        event = await pair.other.hear(p.OutboxEvent)
        kinds += ["read"] if event.type == "receipt" and b'"kind":"read"' in event.payload else []

    assert (type(read), type(typing)) == (p.Done, p.Done)


@pytest.mark.slow
async def test_a_number_without_an_account_is_refused_in_words(pair: Pair) -> None:
    """The library's error names the number; the refusal's text does not."""
    refused = await pair.company.call(p.SendText, to="5551990000000@s.whatsapp.net", text="x")

    assert (type(refused), refused.code) == (p.Failed, "no_such_recipient")
    assert "names no account" in refused.text
    assert "555" not in refused.text


def test_what_is_remembered_is_in_the_file(build_file: BuildFile) -> None:
    """Under several keys, with its age; dropped entries are gone."""
    connection = build_file()._connection
    kept = Remembered(connection, "wasup_test")
    kept.take_up()
    kept.put(["a", "b"], "1", now=1000.0)
    kept.put(["c"], "3", now=1000.0)
    kept.drop(["c", "never there"])
    again = Remembered(connection, "wasup_test")
    again.take_up()

    assert [again.get(key) for key in "abc"] == ["1", "1", None]
    assert (again.get("a", since=1000.0), again.get("a", since=1001.0)) == ("1", None)


def test_what_is_confirmed_is_written_once_a_day(build_file: BuildFile) -> None:
    """Not with every message: a confirmation within a day changes nothing, a later one updates the time."""
    connection = build_file()._connection
    kept = Remembered(connection, "wasup_test")
    kept.take_up()
    times: list[object] = []
    for now in (0.0, EXACT_S - 1, EXACT_S):
        kept.put(["a"], "1", now)
        times.append(connection.scalar("SELECT at FROM wasup_test"))

    assert times == [0, 0, int(EXACT_S)]


def test_what_is_remembered_has_a_limit(build_file: BuildFile) -> None:
    """The oldest entries are dropped, from the file too."""
    connection = build_file()._connection
    kept = Remembered(connection, "wasup_test", kept=3)
    kept.take_up()
    for number in range(5):
        kept.put([str(number)], "x", time.time())

    assert [kept.get(str(number)) for number in range(5)] == [None, None, "x", "x", "x"]
    assert connection.scalar("SELECT count(*) FROM wasup_test") == 3


def test_a_file_that_takes_no_writes_fails_nobody(build_file: BuildFile) -> None:
    """Memory is still used; other writes to the file report the failure."""
    connection = build_file()._connection
    kept = Remembered(connection, "wasup_test")
    kept.take_up()
    connection.script("PRAGMA query_only = ON")
    kept.put(["a"], "1", time.time())

    assert kept.get("a") == "1"
