"""How the tree, events and times look."""

from __future__ import annotations

import pytest

from actors.cli.events import describe
from actors.cli.output import show_duration, show_time
from actors.cli.tree import Crash, Node, draw


def node(path: str, *children: Node, restarts: int = 0, waiting: int = 0, crash: Crash | None = None) -> Node:
    return Node(
        path=path,
        kind="actor",
        state="running",
        uptime_s=75.0,
        restarts=restarts,
        mailbox_depth=waiting,
        oldest_message_age_s=2.0 if waiting else None,
        processed=0,
        last_crash=crash,
        children=children,
    )


def test_a_tree_is_drawn_with_its_branches() -> None:
    """Children hang below their supervisor, and unusual states are named."""
    crash = Crash(type="ValueError", text="bad\x1b[31m", at=1000.0)
    tree = node(
        "/",
        node("/companies", node("/companies/962302", restarts=1, crash=crash), node("/companies/962303", waiting=3)),
        node("/http"),
    )

    assert list(draw(tree, now=1060.0)) == [
        "/  running  up 1m15s",
        "├─ companies  running  up 1m15s",
        "│  ├─ 962302  running  up 1m15s  1 restart  crashed 1m00s ago: ValueError: bad\x1b[31m",
        "│  └─ 962303  running  up 1m15s  3 waiting, oldest 2.0s",
        "└─ http  running  up 1m15s",
    ]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0.0s"), (9.94, "9.9s"), (10, "10s"), (59.9, "59s"), (185, "3m05s"), (7800, "2h10m"), (349_200, "4d01h")],
)
def test_durations(seconds: float, expected: str) -> None:
    """Two units at most."""
    assert show_duration(seconds) == expected


def test_an_event_is_one_line() -> None:
    """Number, time, company, type and what the payload says."""
    event = {
        "seq": 7,
        "type": "status",
        "companyId": "962302",
        "timestamp": 0.5,
        "payload": {"status": "connected", "previous": None, "attempts": 2},
    }

    assert describe(event) == "7  1970-01-01 00:00:00Z  962302  status  status=connected attempts=2"
    assert show_time(0) == "1970-01-01 00:00:00Z"
