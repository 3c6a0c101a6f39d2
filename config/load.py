"""Reads the settings: every source, every check, all errors at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import msgspec

from config.checks import check
from config.convert import WrongValueError, convert
from config.errors import Problem, SettingsError
from config.fields import all_fields, section_names
from config.settings import Settings
from config.sources import Sources, read_credentials, read_environment, read_file
from config.tomlfile import read_toml

DEFAULT_FILE = "wasup.toml"
"""Read from the working directory when it is there and no other file is named."""

ROOT_STATE_DIR = Path("/var/lib/wasup")
DEFAULT_ORIGIN = "default"


@final
@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each key where it was set (``default`` when nowhere)."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def load(
    *, config_file: Path | None = None, environment: Mapping[str, str] | None = None, is_root: bool | None = None
) -> Settings:
    """The settings for this process. Raises SettingsError, which holds every problem there is.

    ``config_file`` must exist when it is given; else ``$WASUP_CONFIG`` or, when it exists, ``wasup.toml`` is read.
    """
    return load_with_origins(config_file=config_file, environment=environment, is_root=is_root).settings


def load_with_origins(
    *, config_file: Path | None = None, environment: Mapping[str, str] | None = None, is_root: bool | None = None
) -> Loaded:
    """Like `load`, with where each setting came from."""
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
        # A check that names a setting which could not be read was made against that setting's default.
        sources.problems.extend(
            problem
            for problem in check(settings, origins.__getitem__, is_root=is_root, environment=environment)
            if not any(re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", str(problem)) for key in failed)
        )
    if settings is None or sources.problems:
        raise SettingsError(sorted(sources.problems, key=_line))
    return Loaded(settings, origins, file)


def default_state_dir(environment: Mapping[str, str], *, is_root: bool) -> Path:
    """Where state is kept when nothing says otherwise. Raises SettingsError when the user has no home directory."""
    if is_root:
        return ROOT_STATE_DIR
    xdg = environment.get("XDG_STATE_HOME", "")
    # The XDG specification has relative values ignored.
    if xdg.startswith("/"):
        return Path(xdg) / "wasup"
    home = environment.get("HOME", "")
    if home.startswith("/"):
        return Path(home) / ".local/state/wasup"
    raise SettingsError(
        [Problem(DEFAULT_ORIGIN, "state_dir", "this user has no home directory", "set WASUP_STATE_DIR to a directory")]
    )


def _line(problem: Problem) -> tuple[bool, int]:
    """Problems of the file come first, in its order."""
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
    """The settings as far as their values can be read; None when there is no state directory to be had."""
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
