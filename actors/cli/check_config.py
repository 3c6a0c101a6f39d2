"""`wasup check-config`: the settings in effect, secrets hidden, and whether an engine process can start."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line
from actors.engine_pool.checking import EngineUnusable, check_engine
from config.fields import Field, all_fields, environment_for_children
from config.load import Loaded, load_with_origins
from config.secret import Secret, describe_url
from config.settings import Settings
from config.values import Bind


def run(arguments: Namespace) -> int:
    """Raises SettingsError, which names every problem, and CommandError where the engine cannot be loaded."""
    loaded = load_with_origins(config_file=arguments.config)
    if arguments.json:
        print_json({field.key: _described(loaded, field) for field in all_fields()})
    else:
        for field in all_fields():
            value = show(_value(loaded.settings, field))
            print_line(f"{field.key} = {_plain(value)}  ({loaded.origins[field.key]})")
    try:
        check_engine(environment_for_children(os.environ))
    except EngineUnusable as error:
        text = f"the settings are in order, but no company could connect, since no engine process can start: {error}"
        raise CommandError(Exit.FAILED, text) from error
    return Exit.DONE


def _described(loaded: Loaded, field: Field) -> dict[str, object]:
    return {"value": show(_value(loaded.settings, field)), "from": loaded.origins[field.key], "environment": field.env}


def _value(settings: Settings, field: Field) -> object:
    holder: object = settings if field.section is None else getattr(settings, field.section)
    return getattr(holder, field.name)


def show(value: object) -> object:
    """Return a setting's value as JSON has it; of a secret only the part that may be shown."""
    match value:
        case Secret():
            return describe_url(value)
        case Bind() | Path():
            return str(value)
        case tuple():
            return [str(item) for item in value]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # networks
        case Mapping():
            return {str(key): show(item) for key, item in value.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return value


def _plain(value: object) -> str:
    match value:
        case None | [] | {}:
            return "-"
        case list():
            return ", ".join(str(item) for item in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case dict():
            return ", ".join(f"{key}={item}" for key, item in value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return str(value)
