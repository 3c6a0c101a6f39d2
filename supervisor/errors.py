"""Every error that the supervision core raises, in one tree. They have fields, so that callers need not parse text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.introspection.report import CrashReport, ExitReason
    from supervisor.messaging.ref import ActorRef


class SupervisorError(Exception):
    """Base of all errors of this package."""


class SpecError(SupervisorError, ValueError):
    """A specification is wrong; ``field`` names the field, the text says what would be right."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field


class NoSuchActor(SupervisorError, LookupError):
    """There is no actor at ``path`` (or under that name or id)."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no such actor: {path}")
        self.path = path


class ActorCrashed(SupervisorError):
    """The incarnation that held the request ended abnormally before it replied; ``report`` says how."""

    def __init__(self, path: str, report: CrashReport) -> None:
        super().__init__(f"{path} crashed: {report.type}: {report.text}")
        self.path = path
        self.report = report


class ActorStopped(SupervisorError):
    """The actor does not run and will not come back by itself."""

    def __init__(self, path: str, why: str = "is stopped") -> None:
        super().__init__(f"{path} {why}")
        self.path = path


class AskTimeout(SupervisorError):
    """No reply came within ``timeout`` seconds. Whether the request was or will be handled is unknown."""

    def __init__(self, path: str, request: str, timeout: float) -> None:
        super().__init__(f"{path} did not answer {request} within {timeout:g} s")
        self.path = path
        self.request = request
        self.timeout = timeout


class WouldDeadlock(SupervisorError):
    """An actor asked itself from its own handler, so the reply could never come."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} asks itself while it handles a message; the answer could never come")
        self.path = path


class MailboxFull(SupervisorError):
    """The mailbox held ``capacity`` messages and its overflow policy did not take this one."""

    def __init__(self, path: str, capacity: int) -> None:
        super().__init__(f"the mailbox of {path} is full ({capacity} messages)")
        self.path = path
        self.capacity = capacity


class StashFull(SupervisorError):
    """The stash held ``capacity`` messages already."""

    def __init__(self, path: str, capacity: int) -> None:
        super().__init__(f"the stash of {path} is full ({capacity} messages)")
        self.path = path
        self.capacity = capacity


class StartFailed(SupervisorError):
    """A child did not start; ``path`` is the one that failed, ``reason`` says why (with the crash report, if it crashed)."""

    def __init__(self, path: str, reason: ExitReason) -> None:
        super().__init__(f"{path} did not start: {reason}")
        self.path = path
        self.reason = reason


class AlreadyStarted(SupervisorError):
    """A child of this id runs (or is being started or restarted); ``ref`` points at it."""

    def __init__(self, path: str, ref: ActorRef) -> None:
        super().__init__(f"{path} is started already")
        self.path = path
        self.ref = ref


class AlreadyPresent(SupervisorError):
    """A child of this id is known but does not run: use restart_child, or delete_child first."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is known already but does not run; restart_child starts it, delete_child forgets it")
        self.path = path


class ChildRunning(SupervisorError):
    """The operation needs a child that does not run, and this one does."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is running; terminate it first")
        self.path = path


class ChildRestarting(SupervisorError):
    """The operation needs a child that does not run, and this one is about to be restarted."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is being restarted; terminate it first")
        self.path = path


class ChildStuck(SupervisorError):
    """The child was cancelled and has not ended; its task cannot be killed and still runs."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} was cancelled and still has not ended")
        self.path = path


class TooManyChildren(SupervisorError):
    """A dynamic supervisor holds ``max_children`` children."""

    def __init__(self, path: str, max_children: int) -> None:
        super().__init__(f"{path} holds its {max_children} children already")
        self.path = path
        self.max_children = max_children


class NotSupported(SupervisorError):
    """This kind of child or supervisor does not support the operation."""


class NameTaken(SupervisorError):
    """The name is registered for another actor, at ``path``."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(f"the name {name!r} is taken by {path}")
        self.name = name
        self.path = path


class TooMany(SupervisorError):
    """An actor holds the greatest allowed number of timers, helpers, monitors or names."""

    def __init__(self, path: str, what: str, limit: int) -> None:
        super().__init__(f"{path} has {limit} {what}, which is the limit")
        self.path = path
        self.limit = limit
