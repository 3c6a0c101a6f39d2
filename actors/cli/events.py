"""`wasup events`: print the event log, and follow live events."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import msgspec

from actors.cli.client import Daemon, open_daemon
from actors.cli.follow import EVENTS_PATH, Event, Following, follow
from actors.cli.loop import run_async
from actors.cli.outcome import Exit
from actors.cli.output import print_json, print_line, show_time
from config.json_text import read_json

_PAGE = 1000


def run(arguments: Namespace) -> int:
    """Raises CommandError; with --follow, ends when interrupted or after --limit events."""
    run_async(_run, arguments)
    return Exit.DONE


async def _run(arguments: Namespace) -> None:
    printer = _Printer(arguments)
    if arguments.limit == 0:
        return
    async with open_daemon(arguments) as daemon:
        if arguments.follow:
            following = Following(
                companies=tuple(arguments.companies), types=tuple(arguments.types), after=arguments.after
            )
            await follow(daemon, following, printer.take_live)
        else:
            await _replay(daemon, arguments, printer)


async def _replay(daemon: Daemon, arguments: Namespace, printer: _Printer) -> None:
    after = arguments.after or 0
    chosen: list[tuple[str, str | int]] = [("companyId", company) for company in arguments.companies]
    chosen += [("type", type_) for type_ in arguments.types]
    while True:
        page = await daemon.get(EVENTS_PATH, [("after", after), ("limit", _PAGE), *chosen])
        events: list[dict[str, Any]] = page["events"]
        for event in events:
            if printer.take(event):
                return
        if len(events) < _PAGE:
            return
        after = page["next"]


class _Printer:
    """Prints events and counts them."""

    def __init__(self, arguments: Namespace) -> None:
        self._is_json: bool = arguments.json
        self._limit: int | None = arguments.limit
        self._printed = 0

    async def take_live(self, _event: Event, data: bytes) -> bool:
        return self.take(read_json(data, dict[str, Any]))

    def take(self, event: dict[str, Any]) -> bool:
        """Print the event; return True when it was the last one wanted."""
        if self._is_json:
            print_json(event, indent=0)
        else:
            print_line(describe(event))
        self._printed += 1
        return self._printed == self._limit


def describe(event: dict[str, Any]) -> str:
    """Return one line: number, time, company, type and payload."""
    payload: dict[str, Any] = event["payload"]
    facts = " ".join(f"{name}={_short(value)}" for name, value in payload.items() if value is not None)
    return f"{event['seq']}  {show_time(event['timestamp'])}  {event['companyId']}  {event['type']}  {facts}".rstrip()


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
