"""How a command ends: the exit codes of docs/cli.md, and the one sentence that goes with a failure."""

from __future__ import annotations

from enum import IntEnum
from typing import final


class Exit(IntEnum):
    """Exit codes. Scripts depend on them; docs/cli.md explains each."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SETTINGS = 3
    NO_DAEMON = 4
    NOT_ALLOWED = 5
    REFUSED = 6
    TRY_LATER = 7
    EXPIRED = 8
    INTERRUPTED = 130
    TERMINATED = 143


@final
class CommandError(Exception):
    """The command failed: ``text`` is one sentence for people, ``code`` the exit code of the process."""

    def __init__(self, code: Exit, text: str, *, problem: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.problem = problem
        """The problem's stable code (docs/api-errors.md) when the daemon refused."""
