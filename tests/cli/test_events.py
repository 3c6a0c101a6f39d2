"""`wasup events`."""

from __future__ import annotations

from tests.cli.terminal import Terminal, running
from tests.http.world import ADMIN_KEY, COMPANY_A, COMPANY_B, Daemon, until


async def following(daemon: Daemon) -> None:
    """Wait until a reader follows."""
    await until(lambda: daemon.world.hub.subscriptions > 0)


async def test_replay_goes_over_all_pages(terminal: Terminal, daemon: Daemon) -> None:
    """Without --follow, the log from the beginning to its end."""
    for number in range(2100):
        daemon.world.publish(COMPANY_A, "status", number=number)

    ended = await terminal.run("events", "--json")

    assert [event["payload"]["number"] for event in ended.documents] == list(range(2100))


async def test_what_is_chosen(terminal: Terminal, daemon: Daemon) -> None:
    """By company, type, number and count."""
    for company in (COMPANY_A, COMPANY_B, COMPANY_A, COMPANY_A):
        daemon.world.publish(company, "status", status="connected")
        daemon.world.publish(company, "message", text="hello")

    words = ("--company", COMPANY_A, "--type", "message", "--after", "2", "--limit", "1", "--json")
    ended = await terminal.run("events", *words)

    assert [event["seq"] for event in ended.documents] == [6]
    assert (await terminal.run("events", "--limit", "0")).out == ""


async def test_a_message_cannot_steer_the_terminal(terminal: Terminal, daemon: Daemon) -> None:
    """Control characters of a stranger's text are shown, not sent."""
    daemon.world.publish(COMPANY_A, "message", text="\x1b]0;owned\x07\r\nseq")

    ended = await terminal.run("events")

    assert len(ended.lines) == 1
    assert "\x1b" not in ended.out
    assert "\\u001b]0;owned\\u0007" in ended.out


async def test_following(terminal: Terminal, daemon: Daemon) -> None:
    """New events are printed as they come, until the given number is reached."""
    daemon.world.publish(COMPANY_A, "status", status="before")

    async with running(terminal, "events", "--follow", "--limit", "2") as ended:
        await following(daemon)
        daemon.world.publish(COMPANY_A, "status", status="first")
        daemon.world.publish(COMPANY_B, "status", status="second")

    assert ended[0].code == 0
    assert [line.rpartition("=")[2] for line in ended[0].lines] == ["first", "second"]


async def test_following_goes_on_where_it_broke_off(terminal: Terminal, daemon: Daemon) -> None:
    """The HTTP actor restarts: the stream is resumed, and events from in between are not lost."""
    async with running(terminal, "events", "--follow", "--limit", "3", "--json") as ended:
        await following(daemon)
        daemon.world.publish(COMPANY_A, "status", number=1)
        await terminal.until_shown('"seq":1')
        daemon.system.kill("/events", "by the test")
        daemon.world.hub.close("restarting")
        daemon.world.publish(COMPANY_A, "status", number=2)
        await until(lambda: '"seq":2' in terminal.shown)
        daemon.world.publish(COMPANY_A, "status", number=3)

    assert [event["seq"] for event in ended[0].documents] == [1, 2, 3]


async def test_following_without_the_right(terminal: Terminal) -> None:
    """A refused subscription is an error like any other."""
    ended = await terminal.run("events", "--follow", "--key", ADMIN_KEY[::-1])

    assert ended.code == 5
    assert "API key" in ended.err
