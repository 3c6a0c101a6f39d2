"""The actor tree as the administration shows it."""

from __future__ import annotations

from actors.messages import Answer
from supervisor import ActorSnapshot, CrashReport


class CrashView(Answer, frozen=True, kw_only=True):
    """How an actor last crashed."""

    type: str
    text: str
    message_type: str | None
    """Type of the message that was being handled."""
    caller: str | None
    at: float
    """Unix seconds."""
    traceback: str | None
    """Left out in the tree."""


class ActorView(Answer, frozen=True, kw_only=True):
    """One place in the tree. Messages are shown by type, never with their contents."""

    path: str
    kind: str
    state: str
    since: float
    """Unix seconds of the last change of state."""
    uptime_s: float | None
    restarts: int
    restarts_in_window: int
    is_stuck: bool
    mailbox_depth: int
    mailbox_capacity: int
    oldest_message_age_s: float | None
    dropped: int
    processed: int
    refused: int
    handler_s: float
    current_message: str | None
    current_message_s: float | None
    recent_messages: tuple[str, ...]
    last_crash: CrashView | None
    children: tuple[ActorView, ...]


class TreeReply(Answer, frozen=True, kw_only=True):
    """The whole tree."""

    tree: ActorView
    success: bool = True


class ActorReply(Answer, frozen=True, kw_only=True):
    """One actor, with what is below it."""

    actor: ActorView
    success: bool = True


def view(actor: ActorSnapshot, *, traceback: bool = False) -> ActorView:
    """Return ``actor`` and what is below it; a traceback only of itself."""
    return ActorView(
        path=actor.path,
        kind=actor.kind,
        state=actor.state,
        since=actor.since,
        uptime_s=actor.uptime,
        restarts=actor.restarts,
        restarts_in_window=actor.restarts_in_window,
        is_stuck=actor.is_stuck,
        mailbox_depth=actor.mailbox_depth,
        mailbox_capacity=actor.mailbox_capacity,
        oldest_message_age_s=actor.oldest_message_age,
        dropped=actor.dropped,
        processed=actor.handled,
        refused=actor.refused,
        handler_s=actor.handler_seconds,
        current_message=actor.current_message,
        current_message_s=actor.current_message_seconds,
        recent_messages=actor.recent_messages,
        last_crash=None if actor.last_crash is None else _crash(actor.last_crash, traceback=traceback),
        children=tuple(view(child) for child in actor.children),
    )


def _crash(crash: CrashReport, *, traceback: bool) -> CrashView:
    return CrashView(
        type=crash.type,
        text=crash.text,
        message_type=crash.message_type,
        caller=crash.caller,
        at=crash.at,
        traceback=crash.traceback if traceback else None,
    )
