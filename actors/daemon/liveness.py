"""Decides from a snapshot whether the tree as a whole is well. The service manager's watchdog depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from supervisor import ActorSnapshot

DOWN_FOR_S: Final = 60.0
"""After this long without being up, a part of the daemon is taken not to come up by itself."""


def why_unwell(root: ActorSnapshot, now: float) -> str | None:
    """Return the first reason why only a restart of the whole daemon can help; None when it is well.

    The reasons are an infrastructure actor that cannot be stopped (``is_stuck``), was given up, or is not up for `DOWN_FOR_S`. Postgres or
    WhatsApp being away is no reason, nor is anything about single companies: those have states and deadlines of their own.

    ``now``: `System.unix_now`, which does not jump when the wall clock does.
    """
    return next(_reasons(root, now), None)


def _reasons(root: ActorSnapshot, now: float) -> Iterator[str]:
    for child in root.children:
        if child.is_stuck:
            yield f"{child.path} is stuck"
        elif child.state == "failed":
            yield f"{child.path} was given up"
        elif child.state in ("starting", "restarting", "stopping") and now - child.since > DOWN_FOR_S:
            yield f"{child.path} is {child.state} for more than {DOWN_FOR_S:g} s"
