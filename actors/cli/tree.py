"""`wasup tree`: the actor tree, drawn."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import msgspec
import trio

from actors.cli.client import open_daemon
from actors.cli.loop import run_async
from actors.cli.outcome import Exit
from actors.cli.output import clear_screen, print_json, print_line, show_duration


class Crash(msgspec.Struct, frozen=True, rename="camel"):
    """Why an actor last crashed."""

    type: str
    text: str
    at: float


class Node(msgspec.Struct, frozen=True, rename="camel"):
    """The facts about an actor that are drawn."""

    path: str
    kind: str
    state: str
    uptime_s: float | None
    restarts: int
    mailbox_depth: int
    oldest_message_age_s: float | None
    processed: int
    last_crash: Crash | None
    children: tuple[Node, ...]
    is_stuck: bool = False


def run(arguments: Namespace) -> int:
    """Raises CommandError; with --watch, ends when interrupted."""
    run_async(_show, arguments)
    return Exit.DONE


async def _show(arguments: Namespace) -> None:
    async with open_daemon(arguments) as daemon:
        while True:
            answer = await daemon.get("/admin/tree")
            if arguments.watch and not arguments.json:
                clear_screen()
            _print(answer["tree"], arguments)
            if not arguments.watch:
                return
            await trio.sleep(arguments.interval)


def _print(tree: dict[str, Any], arguments: Namespace) -> None:
    if arguments.json:
        print_json(tree, indent=0 if arguments.watch else 2)
        return
    for line in draw(msgspec.convert(tree, Node), now=time.time()):
        print_line(line)


def draw(node: Node, *, now: float, lead: str = "", branch: str = "") -> Iterator[str]:
    """Yield one line for each actor: name, state, uptime, and what is remarkable about it. ``now`` in Unix seconds."""
    name = node.path.rpartition("/")[2] or "/"
    yield "  ".join([f"{lead}{branch}{name}", *_facts(node, now)])
    below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
    for child in node.children:
        yield from draw(child, now=now, lead=below, branch="└─ " if child is node.children[-1] else "├─ ")


def _facts(node: Node, now: float) -> Iterator[str]:
    yield node.state
    if node.uptime_s is not None:
        yield f"up {show_duration(node.uptime_s)}"
    if node.processed:
        yield f"{node.processed} handled"
    if node.mailbox_depth:
        age = "" if node.oldest_message_age_s is None else f", oldest {show_duration(node.oldest_message_age_s)}"
        yield f"{node.mailbox_depth} waiting{age}"
    if node.is_stuck:
        yield "STUCK"
    if node.restarts:
        yield f"{node.restarts} restart{'s' if node.restarts != 1 else ''}"
    if node.last_crash is not None:
        ago = show_duration(max(0.0, now - node.last_crash.at))
        yield f"crashed {ago} ago: {node.last_crash.type}: {node.last_crash.text}"
