"""`wasup`: from the command line's words to a command, and from how it ended to an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import metadata
from types import MappingProxyType
from typing import Final

from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_error, print_line
from actors.cli.parser import build_parser
from config import logging
from config.errors import ConfigError, SettingsError

# Imported when they are called: `wasup run` has no use for the client's libraries, nor the client for the daemon's.
COMMANDS: Final = MappingProxyType(
    {
        "run": "actors.cli.run",
        "check-config": "actors.cli.check_config",
        "migrate": "actors.cli.migrate",
        "rotate-key": "actors.cli.rotate_key",
        "stats": "actors.cli.stats",
        "cleanup": "actors.cli.cleanup",
        "audit": "actors.cli.audit",
        "verify": "actors.cli.verify",
        "with-database": "actors.cli.with_database",
        "keys": "actors.cli.keys",
        "link": "actors.cli.link",
        "sessions": "actors.cli.sessions",
        "tree": "actors.cli.tree",
        "send": "actors.cli.send",
        "events": "actors.cli.events",
        "import-baileys": "actors.cli.import_baileys",
        "export-baileys": "actors.cli.export_baileys",
    }
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (`Exit`). Errors are one sentence on standard error."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        print_line(f"wasup {metadata.version('wasup')}")
        return Exit.DONE
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return Exit.USAGE
    try:
        return _run(arguments)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be printed, at the interpreter's end neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _run(arguments: Namespace) -> int:
    # A command's output is its result; what the libraries have to say goes beside it. `wasup run` sets its own logging up.
    logging.configure("error", output=sys.stderr.buffer)
    try:
        command = importlib.import_module(COMMANDS[arguments.command])
        code: int = command.run(arguments)
    except SettingsError as error:
        for problem in error.problems:
            print_error(str(problem))
        return Exit.SETTINGS
    except ConfigError as error:
        print_error(str(error))
        return Exit.FAILED
    except CommandError as error:
        print_error(error.text)
        return error.code
    return code
