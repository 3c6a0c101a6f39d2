"""Errors of the settings, always reported all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong setting: where it was read, its name, what is wrong and what would be right."""

    where: str
    """`wasup.toml:7`, `environment variable WASUP_BIND`, `credential database_url` or `defaults`."""
    key: str
    wrong: str
    right: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.wrong}; {self.right}"


class ConfigError(Exception):
    """The configuration cannot be used."""


@final
class SettingsError(ConfigError):
    """One or more settings are wrong. ``problems`` holds all of them; no setting was applied."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@final
class StateDirectoryError(ConfigError):
    """The state directory cannot be used; the text says why and what to do."""


@final
class StateDirectoryBusyError(ConfigError):
    """Another daemon holds the state directory."""

    def __init__(self, directory: str, pid: int | None) -> None:
        self.directory = directory
        self.pid = pid
        who = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{who} already runs on the state directory {directory}; "
            "stop it, or set WASUP_STATE_DIR to another directory"
        )
