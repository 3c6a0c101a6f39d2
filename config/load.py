"""Reads the settings: all sources, all checks, all errors at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final, get_args, get_origin

import msgspec

from config.checks import check
from config.errors import Problem, SettingsError
from config.fields import Field, all_fields, section_names
from config.settings import Settings
from config.sources import Found, Sources, read_credentials, read_environment, read_file, read_toml

DEFAULT_FILE = "wasup.toml"
"""Read from the working directory when it exists and no other file is named."""

ROOT_STATE_DIR = Path("/var/lib/wasup")
DEFAULT_ORIGIN = "default"


@final
@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each key where it was set (``default`` for none of the sources)."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def load(
    *, config_file: Path | None = None, environment: Mapping[str, str] | None = None, is_root: bool | None = None
) -> Settings:
    """Return the settings for this process. Raises SettingsError, which holds every problem.

    ``config_file`` must exist when it is given; otherwise ``$WASUP_CONFIG`` or, when it exists, ``wasup.toml`` is read.
    """
    return load_with_origins(config_file=config_file, environment=environment, is_root=is_root).settings


def load_with_origins(
    *, config_file: Path | None = None, environment: Mapping[str, str] | None = None, is_root: bool | None = None
) -> Loaded:
    """Like `load`, with the origin of each setting."""
    environment = os.environ if environment is None else environment
    is_root = os.geteuid() == 0 if is_root is None else is_root
    sources = Sources()
    file = config_file or _default_file(environment)
    if file is not None:
        _read_file(sources, file)
    read_credentials(sources, environment.get("CREDENTIALS_DIRECTORY"))
    read_environment(sources, environment)
    settings = _build(sources, environment, is_root=is_root)
    origins = {
        field.key: sources.values[field.key].where if field.key in sources.values else DEFAULT_ORIGIN
        for field in all_fields()
    }
    if settings is not None:
        failed = {problem.key for problem in sources.problems}
        # Such a check used the default of a setting that could not be read, so its result is dropped.
        sources.problems.extend(
            problem
            for problem in check(settings, origins.__getitem__, is_root=is_root, environment=environment)
            if not any(re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", str(problem)) for key in failed)
        )
    if settings is None or sources.problems:
        raise SettingsError(sorted(sources.problems, key=_line))
    return Loaded(settings, origins, file)


def default_state_dir(environment: Mapping[str, str], *, is_root: bool) -> Path:
    """Return the state directory used when no setting names one. Raises SettingsError when the user has no home directory."""
    if is_root:
        return ROOT_STATE_DIR
    xdg = environment.get("XDG_STATE_HOME", "")
    # The XDG specification says that relative values are ignored.
    if xdg.startswith("/"):
        return Path(xdg) / "wasup"
    home = environment.get("HOME", "")
    if home.startswith("/"):
        return Path(home) / ".local/state/wasup"
    raise SettingsError(
        [Problem(DEFAULT_ORIGIN, "state_dir", "this user has no home directory", "set WASUP_STATE_DIR to a directory")]
    )


def _line(problem: Problem) -> tuple[bool, int]:
    """Sort key: problems of the file come first, in the file's order."""
    line = re.search(r":(\d+)\Z", problem.where)
    return (line is None, 0 if line is None else int(line[1]))


def _default_file(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get("WASUP_CONFIG"):
        return Path(named)
    here = Path(DEFAULT_FILE)
    return here if here.is_file() else None


def _read_file(sources: Sources, path: Path) -> None:
    try:
        read_file(sources, read_toml(path))
    except SettingsError as error:
        sources.problems.extend(error.problems)


def _build(sources: Sources, environment: Mapping[str, str], *, is_root: bool) -> Settings | None:
    """Return the settings, with defaults for values that cannot be read; None when there is no state directory."""
    values: dict[str | None, dict[str, Any]] = {None: {}, **{name: {} for name in section_names()}}
    for field in all_fields():
        found = sources.values.get(field.key)
        if found is None:
            continue
        try:
            values[field.section][field.name] = convert(field, found)
        except WrongValueError as error:
            sources.problems.append(error.problem)
    top = values.pop(None)
    if "state_dir" not in top:
        try:
            top["state_dir"] = default_state_dir(environment, is_root=is_root)
        except SettingsError as error:
            sources.problems.extend(error.problems)
            return None
    return Settings(**top, **_sections(values))


def _sections(values: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    types = {info.name: info.type for info in msgspec.structs.fields(Settings)}
    return {name: types[name](**inner) for name, inner in values.items()}


_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
_SHOWN_CHARS = 60


class WrongValueError(Exception):
    """Carries the `Problem`."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def convert(field: Field, found: Found) -> object:
    """Return the setting's value. Raises WrongValueError."""
    try:
        if field.parse is not None:
            return _anchored(field.parse(found.value), found.directory)
        return msgspec.convert(found.value, field.annotation, strict=not found.is_text)
    except msgspec.ValidationError:
        raise WrongValueError(Problem(found.where, field.key, _what(field, found), _right(field))) from None
    except ValueError as error:
        wrong, _, right = str(error).rpartition("; ")
        raise WrongValueError(Problem(found.where, field.key, wrong or "it cannot be used", right)) from None


def _anchored(value: object, directory: Path | None) -> object:
    """Make a relative path absolute: its meaning must not depend on where a later command is run."""
    if isinstance(value, Path):
        return (directory or Path.cwd()) / value
    return value


def _what(field: Field, found: Found) -> str:
    shown = "the value" if field.is_secret else _shown(found.value)
    kind = get_args(field.annotation)[0]
    try:
        msgspec.convert(found.value, kind, strict=not found.is_text)
    except msgspec.ValidationError:
        return f"{shown} is not {_words(kind)}"
    return f"{shown} is out of range"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _right(field: Field) -> str:
    if field.default is msgspec.NODEFAULT or field.default is None:
        return f"write {describe_range(field)}"
    return f"write {describe_range(field)}, for example {field.default}"


def describe_range(field: Field) -> str:
    """Return the values a setting may have, in words: ``a whole number from 1 to 1000``."""
    word = _words(get_args(field.annotation)[0])
    meta = field.meta
    if meta.max_length is not None:
        return f"{word} of {meta.min_length or 0} to {meta.max_length} characters"
    low = (
        f"from {_plain(meta.ge)}" if meta.ge is not None else f"above {_plain(meta.gt)}" if meta.gt is not None else ""
    )
    high = f"to {_plain(meta.le)}" if meta.le is not None else ""
    return " ".join(part for part in (word, low, high) if part)


def _words(kind: object) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return _WORDS.get(getattr(kind, "__name__", ""), "a value")


def _plain(number: float | None) -> str:
    return re.sub(r"\.0$", "", str(number))
