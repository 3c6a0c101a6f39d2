"""The sources of settings: the settings file, systemd credentials, the environment; each overrides the one before.

This module finds the raw values, with the line of each key in a TOML file, and refuses unknown names; config/load.py reads the values.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, final

from config.errors import Problem, SettingsError
from config.fields import Field, all_fields, section_names

CLIENT_VARIABLES = frozenset({"WASUP_CONFIG", "WASUP_KEY", "WASUP_URL"})
"""Read by the command line; they are not settings of the daemon."""

MAX_CREDENTIAL_BYTES = 64 * 1024


@final
@dataclass(frozen=True, slots=True)
class Found:
    """A raw value and where it was written."""

    value: Any
    where: str
    is_text: bool
    """True for values of the environment or a credential, where numbers and booleans are text."""
    directory: Path | None = None
    """The base of a relative path; None: the working directory."""


@final
@dataclass(slots=True)
class Sources:
    """The raw values by key (the last source wins), and the problems found while collecting them."""

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
    """Take secrets, and paths of secret files, from systemd's credentials directory; files with other names are ignored."""
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
    """Take every setting in the environment. Empty ones are ignored, unknown ``WASUP_…`` names are problems."""
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


MAX_FILE_BYTES = 256 * 1024
"""A larger settings file is refused: finding the lines takes time quadratic in a value's length."""

_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)\Z")


@final
@dataclass(frozen=True, slots=True)
class TomlFile:
    """The content of a settings file."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[str, int]
    """The 1-based line of every dotted key, sections included."""

    def where(self, key: str) -> str:
        """Return ``wasup.toml:7``; without a line when the key is not in the file."""
        line = self.lines.get(key)
        return str(self.path) if line is None else f"{self.path}:{line}"


def read_toml(path: Path) -> TomlFile:
    """Read ``path``. Raises SettingsError when it cannot be read or is not TOML; the error names the line."""
    text = _read_text(path)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([_syntax_problem(path, str(error), text)]) from None
    except RecursionError:
        raise SettingsError([Problem(str(path), "(file)", "it is nested too deeply", "write plain tables")]) from None
    return TomlFile(path, values, dict(_lines(text)))


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            [Problem(str(path), "(file)", f"it cannot be read ({error.strerror})", "name a readable file")]
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError([Problem(str(path), "(file)", f"it is larger than {MAX_FILE_BYTES} bytes", "shorten it")])
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SettingsError(
            [Problem(f"{path}:{line}", "(file)", "it is not UTF-8 text", "save the file as UTF-8")]
        ) from None


def _syntax_problem(path: Path, message: str, text: str) -> Problem:
    found = _AT_LINE.search(message)
    line = int(found[1]) if found and found[1] else len(text.splitlines())
    return Problem(f"{path}:{line}", "(syntax)", f"not TOML: {_AT_LINE.sub('', message)}", "correct this line")


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Split valid TOML into its statements: the shortest run of lines that is valid TOML is one statement."""
    table: tuple[str, ...] = ()
    pending: list[str] = []
    # Only line feeds end a TOML line; splitlines() would also split at characters that a string may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        pending.append(line)
        try:
            statement = tomllib.loads("\n".join(pending))
        except tomllib.TOMLDecodeError:
            continue
        start = number - len(pending) + 1
        is_header = pending[0].lstrip().startswith("[")
        pending = []
        if is_header:
            table = _header(statement)
            yield ".".join(table), start
        else:
            yield from ((".".join((*table, *path)), start) for path in _paths(statement))


def _header(statement: dict[str, Any]) -> tuple[str, ...]:
    path: list[str] = []
    inner: Any = statement
    while isinstance(inner, dict) and inner:
        key, inner = next(iter(inner.items()))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # TOML
        path.append(str(key))  # pyright: ignore[reportUnknownArgumentType]  # TOML keys are text
    return tuple(path)


def _paths(statement: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in statement.items():
        path = (*above, key)
        yield path
        if isinstance(value, dict):
            yield from _paths(value, path)  # pyright: ignore[reportUnknownArgumentType]  # TOML
