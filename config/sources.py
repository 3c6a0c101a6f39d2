"""Where settings come from: the settings file, systemd credentials, the environment; each overrides the one before.

This module finds the raw values and refuses names it does not know; config/convert.py reads the values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, final

from config.errors import Problem
from config.fields import Field, all_fields, section_names
from config.tomlfile import TomlFile

CLIENT_VARIABLES = frozenset({"WASUP_CONFIG", "WASUP_KEY", "WASUP_URL"})
"""Read by the command line, not settings of the daemon."""

MAX_CREDENTIAL_BYTES = 64 * 1024


@final
@dataclass(frozen=True, slots=True)
class Found:
    """A raw value and where it was written."""

    value: Any
    where: str
    is_text: bool
    """True for what the environment or a credential says: numbers and booleans are text there."""
    directory: Path | None = None
    """What a relative path is relative to; None: the working directory."""


@final
@dataclass(slots=True)
class Sources:
    """The raw values by key, the last source winning, and what was wrong while they were collected."""

    values: dict[str, Found] = field(default_factory=dict[str, Found])
    problems: list[Problem] = field(default_factory=list[Problem])


def read_file(sources: Sources, file: TomlFile) -> None:
    """Take every key of a settings file."""
    known = {each.key: each for each in all_fields()}
    sections = section_names()
    for name, value in file.values.items():
        if name in sections:
            _read_section(sources, file, name, value, known)
        else:
            _take(sources, file, name, value, known)


def _read_section(sources: Sources, file: TomlFile, name: str, value: object, known: Mapping[str, Field]) -> None:
    if not isinstance(value, dict):
        right = f"write it as a table: [{name}]"
        sources.problems.append(Problem(file.where(name), name, "this is a section, not a value", right))
        return
    for inner, inner_value in cast("dict[str, object]", value).items():
        _take(sources, file, f"{name}.{inner}", inner_value, known)


def _take(sources: Sources, file: TomlFile, key: str, value: object, known: Mapping[str, Field]) -> None:
    if key in known:
        sources.values[key] = Found(value, file.where(key), is_text=False, directory=file.path.absolute().parent)
        return
    right = _nearest(key, [*known, *section_names()], "docs/settings.md lists the names")
    sources.problems.append(Problem(file.where(key), key, "there is no such setting", right))


def read_credentials(sources: Sources, directory: str | None) -> None:
    """Take secrets, and paths of secret files, from systemd's credentials directory; files with other names are left alone."""
    if not directory:
        return
    try:
        names = {path.name for path in Path(directory).iterdir()}
    except OSError as error:
        text = f"the directory of credentials cannot be read ({error.strerror})"
        right = "the user that runs this must be able to list it; as a service, systemd sees to that"
        sources.problems.append(Problem("environment variable CREDENTIALS_DIRECTORY", directory, text, right))
        return
    for each in all_fields():
        if each.credential_file is not None and each.credential_file in names:
            path = str(Path(directory) / each.credential_file)
            sources.values[each.key] = Found(path, f"credential {each.credential_file}", is_text=True)
        if each.is_secret and each.credential in names:
            _read_credential(sources, each, Path(directory) / each.credential)


def _read_credential(sources: Sources, each: Field, path: Path) -> None:
    where = f"credential {each.credential}"
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CREDENTIAL_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        sources.problems.append(
            Problem(where, each.key, f"it cannot be read ({reason})", "store the value as one line of text")
        )
        return
    if len(text) > MAX_CREDENTIAL_BYTES:
        sources.problems.append(Problem(where, each.key, "it is too long", "store the value as one line of text"))
        return
    sources.values[each.key] = Found(text.strip(), where, is_text=True)


def read_environment(sources: Sources, environment: Mapping[str, str]) -> None:
    """Take every setting the environment names; empty ones are ignored, unknown ``WASUP_…`` ones refused."""
    by_name = {each.env: each for each in all_fields()}
    for name, value in sorted(environment.items()):
        if name in by_name:
            if value:
                sources.values[by_name[name].key] = Found(value, f"environment variable {name}", is_text=True)
        elif name.startswith("WASUP_") and name not in CLIENT_VARIABLES:
            right = _nearest(name, [*by_name, *CLIENT_VARIABLES], "docs/settings.md lists the names")
            sources.problems.append(Problem(f"environment variable {name}", name, "there is no such setting", right))


def _nearest(name: str, names: Iterable[str], otherwise: str) -> str:
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"did you mean {matches[0]}?" if matches else otherwise
