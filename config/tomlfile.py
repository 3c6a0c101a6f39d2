"""A TOML file with the line of every key, which the standard library's reader does not give."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from config.errors import Problem, SettingsError

MAX_FILE_BYTES = 256 * 1024
"""A larger settings file is refused: finding the lines takes time with the square of a value's length."""

_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)\Z")


@final
@dataclass(frozen=True, slots=True)
class TomlFile:
    """What a settings file holds."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[str, int]
    """1-based line of every dotted key, sections included."""

    def where(self, key: str) -> str:
        """``wasup.toml:7``; without a line when the key is not in the file."""
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
    """Split valid TOML into its statements: the shortest run of lines that is TOML by itself is one."""
    table: tuple[str, ...] = ()
    pending: list[str] = []
    # Only line feeds end a TOML line; splitlines() would also split at characters that a string may hold.
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
