"""`wasup sessions`: list every session that this key may see."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from actors.cli.client import Daemon, open_daemon
from actors.cli.loop import run_async
from actors.cli.outcome import Exit
from actors.cli.output import print_json, print_line, print_table

_PAGE = 1000


def run(arguments: Namespace) -> int:
    """Raises CommandError."""
    sessions = run_async(_fetch, arguments)
    if arguments.json:
        print_json({"count": len(sessions), "sessions": sessions})
    elif sessions:
        print_table(("COMPANY", "STATUS", "CONNECTED", "HEALTH"), [_row(session) for session in sessions])
    else:
        print_line("no company yet; link the first with: wasup link COMPANY")
    return Exit.DONE


async def _fetch(arguments: Namespace) -> list[dict[str, Any]]:
    async with open_daemon(arguments) as daemon:
        return await list_sessions(daemon)


async def list_sessions(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the sessions of all pages."""
    sessions: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        parameters: list[tuple[str, str | int]] = [("limit", _PAGE)]
        if after is not None:
            parameters.append(("after", after))
        page = await daemon.get("/api/whatsapp/sessions", parameters)
        sessions += page["sessions"]
        after = page.get("next")
        if after is None:
            return sessions


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    connected = "yes" if session["connected"] else "no"
    return (session["companyId"], session["status"], connected, session["health"])
