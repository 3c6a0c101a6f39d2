"""`wasup link`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from actors import messages as m
from actors.cli import link
from actors.company.states import OFFER_EXPIRED
from tests.cli.terminal import Terminal, running
from tests.http.world import COMPANY_A, Daemon
from tests.support.bars import patience

NEW = "962310"
FIRST_QR = "2@" + "A" * 230


async def test_linking_by_qr(terminal: Terminal, daemon: Daemon) -> None:
    """The code is drawn, drawn anew when it changes, and the phone's answer and the end are shown."""
    async with running(terminal, "link", NEW) as ended:
        await terminal.until_shown("A new code follows in")
        daemon.world.publish(NEW, "qr", qr="2@" + "B" * 230, validS=20.0)
        await terminal.until_shown("A new code follows in 20 s.")
        daemon.world.publish(NEW, "status", status="connecting", previous="pairing", reason="accepted")
        await terminal.until_shown("the phone accepted this device")
        daemon.world.publish(NEW, "connected", phoneNumber="+79000000001", lid=None)

    assert ended[0].code == 0
    assert ended[0].out.count("Scan this code") == 2
    assert ended[0].out.count("█") > 100
    assert ended[0].lines[-1] == f"linked: company {NEW} is +79000000001"


async def test_linking_for_scripts(terminal: Terminal, daemon: Daemon) -> None:
    """With --json each step is one line; the same code is not printed twice."""
    async with running(terminal, "link", NEW, "--json") as ended:
        await terminal.until_shown("qr")
        daemon.world.publish(NEW, "qr", qr=FIRST_QR, validS=60.0)
        daemon.world.publish(NEW, "status", status="connecting", previous="pairing", reason="accepted")
        daemon.world.publish(NEW, "connected", phoneNumber="+79000000001", lid=None)

    assert [next(iter(document)) for document in ended[0].documents] == ["qr", "state", "state"]
    assert ended[0].documents[0]["qr"] == FIRST_QR
    assert ended[0].documents[2] == {"state": "linked", "companyId": NEW, "phoneNumber": "+79000000001"}


async def test_linking_by_code(terminal: Terminal, daemon: Daemon) -> None:
    """--phone asks for a pairing code for that number and shows it."""
    async with running(terminal, "link", NEW, "--phone", "+79000000001") as ended:
        await terminal.until_shown("ABCD1234")
        daemon.world.publish(NEW, "connected", phoneNumber="+79000000001", lid=None)

    assert ended[0].code == 0
    assert "Link with phone number instead" in ended[0].out
    assert daemon.world.companies[NEW].asked[0] == m.Initialize("code", "79000000001")


@pytest.mark.parametrize(
    ("payload", "code", "said"),
    [
        (
            {"status": "unlinked", "previous": "pairing", "reason": OFFER_EXPIRED},
            8,
            "was not used in time; run `wasup link",
        ),
        (
            {"status": "unlinked", "previous": "pairing", "reason": "no way out"},
            7,
            "linking broke off: no way out; then run",
        ),
        ({"status": "banned", "previous": "pairing", "reason": "banned"}, 1, f"company {NEW} is banned"),
    ],
)
async def test_linking_that_fails(
    terminal: Terminal, daemon: Daemon, payload: dict[str, str], code: int, said: str
) -> None:
    """An expired code and a refusal by WhatsApp end the command, each with its code."""
    async with running(terminal, "link", NEW) as ended:
        await terminal.until_shown("A new code follows")
        daemon.world.publish(NEW, "status", **payload)

    assert ended[0].code == code
    assert said in ended[0].err


async def test_states_on_the_way_are_no_end(terminal: Terminal, daemon: Daemon) -> None:
    """A new company passes `unlinked` before its code is on offer."""
    async with running(terminal, "link", NEW) as ended:
        await terminal.until_shown("A new code follows")
        daemon.world.publish(NEW, "status", status="unlinked", previous="connecting", reason="no phone is linked")
        daemon.world.publish(NEW, "status", status="pairing", previous="unlinked", reason="on offer")
        daemon.world.publish(NEW, "connected", phoneNumber="+79000000001", lid=None)

    assert ended[0].code == 0


async def test_a_linked_company_is_refused(terminal: Terminal) -> None:
    """It is linked already: nothing is changed."""
    ended = await terminal.run("link", COMPANY_A)

    assert ended.code == 6
    assert "linked" in ended.err


async def test_linking_has_an_end(terminal: Terminal) -> None:
    """--timeout bounds the whole command."""
    started = time.monotonic()

    ended = await terminal.run("link", NEW, "--timeout", "0.3")

    assert ended.code == 8
    assert f"company {NEW} was not linked within 0.3 s" in ended.err
    assert time.monotonic() - started < patience(5)


async def test_linked_while_the_stream_was_away(terminal: Terminal, daemon: Daemon) -> None:
    """When events come back and the company is linked, that is the end."""
    async with running(terminal, "link", NEW) as ended:
        await terminal.until_shown("A new code follows")
        daemon.world.companies[NEW].state = m.CompanyState.CONNECTED
        daemon.world.hub.close("restarting")

    assert ended[0].code == 0
    assert ended[0].lines[-1] == f"company {NEW} is linked"


async def test_whatsapp_that_cannot_be_reached_is_asked_once(terminal: Terminal, daemon: Daemon) -> None:
    """The refusal ends the command at once, with what to check; a second try would get the same."""

    async def refuse(message: object) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(message, m.Initialize):
            raise m.Refused("whatsapp_unreachable", "this machine has no way to the internet: check [raw]")

    company = daemon.world.companies[COMPANY_A]
    company.on_ask = refuse

    ended = await terminal.run("link", COMPANY_A)

    assert ended.code == 7
    assert "check [raw]" in ended.err
    assert ended.err.splitlines()[0] == "asking WhatsApp for a code …"
    assert len([asked for asked in company.asked if isinstance(asked, m.Initialize)]) == 1


async def test_a_code_that_does_not_fit_the_terminal(
    terminal: Terminal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a code is of no use: the command says what it needs, and offers a file and the dashboard."""
    needed: list[tuple[int, int]] = []
    monkeypatch.setattr(link, "terminal_fits", lambda columns, rows: needed.append((columns, rows)))
    async with running(terminal, "link", NEW) as ended:
        await terminal.until_shown("A new code follows")
        daemon.world.publish(NEW, "connected", phoneNumber="+79000000001", lid=None)

    columns, rows = needed[0]
    assert f"takes {columns} columns and {rows} lines" in ended[0].out
    assert f"wasup link {NEW} --qr-file code.png" in ended[0].out
    assert f"the dashboard: {daemon.url}/" in ended[0].out
    assert "█" not in ended[0].out
    assert 50 < columns < 100
    assert columns // 2 <= rows <= columns // 2 + 4


async def test_a_code_in_a_file(terminal: Terminal, daemon: Daemon, tmp_path: Path) -> None:
    """A PNG for its owner alone, replaced by the next code, deleted at the end."""
    picture = tmp_path / "code.png"
    async with running(terminal, "link", NEW, "--qr-file", str(picture)) as ended:
        await terminal.until_shown("A new code follows")
        first = await trio.Path(picture).read_bytes()
        mode = (await trio.Path(picture).stat()).st_mode & 0o777
        daemon.world.publish(NEW, "qr", qr="2@" + "B" * 230, validS=33.0)
        await terminal.until_shown("in 33 s")
        second = await trio.Path(picture).read_bytes()
        daemon.world.publish(NEW, "connected", phoneNumber="+79000000001", lid=None)

    assert ended[0].code == 0
    assert str(picture) in ended[0].out
    assert first.startswith(b"\x89PNG")
    assert second.startswith(b"\x89PNG")
    assert (mode, first != second, picture.exists()) == (0o600, True, False)


async def test_a_file_that_is_there_is_not_replaced(terminal: Terminal, tmp_path: Path) -> None:
    """It may be another file."""
    picture = tmp_path / "code.png"
    picture.write_text("a photograph")

    ended = await terminal.run("link", NEW, "--qr-file", str(picture))

    assert ended.code == 2
    assert f"{picture} cannot be written: File exists" in ended.err
    assert picture.read_text() == "a photograph"
