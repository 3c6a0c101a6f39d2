"""`wasup`: finds the command that the command line names, and turns its end into an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from actors.cli.outcome import CommandError, Exit
from actors.daemon.signals import Signals, Terminated, terminating_in_order

if TYPE_CHECKING:
    from argparse import Namespace

# Each is imported when it is called: `wasup run` does not need the client's libraries, nor the client the daemon's.
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
        "import-database": "actors.cli.import_database",
        "export-baileys": "actors.cli.export_baileys",
    }
)


OWNER_ONLY: Final = 0o077
"""The umask of every process of ours: only the owner may use a file, also one that a library makes, as SQLite beside a device file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (`Exit`). Errors are one sentence on standard error.

    From here on SIGTERM and SIGINT end the process with its clean-up: the daemon with 0, a command with 143 or 130.
    """
    words = sys.argv[1:] if argv is None else argv
    signals = Signals()
    if argv is None:
        os.umask(OWNER_ONLY)
    if words[:1] == ["run"]:
        if argv is None:  # this process is the daemon's
            signals.note()
        return _main(words, signals)
    try:
        with terminating_in_order():
            return _main(words, signals)
    except KeyboardInterrupt:
        _drop_output()
        return Exit.INTERRUPTED
    except Terminated:
        _drop_output()
        return Exit.TERMINATED


def _main(words: Sequence[str], signals: Signals) -> int:
    from argparse import Namespace

    from actors.cli.output import print_line
    from actors.cli.parser import build_parser

    parser = build_parser()
    arguments = parser.parse_args(words, Namespace(signals=signals))
    if arguments.version:
        from importlib import metadata

        print_line(f"wasup {metadata.version('wasup')}")
        return Exit.DONE
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return Exit.USAGE
    try:
        return _run(arguments)
    except BrokenPipeError:
        # The reader has closed our output; nothing more can be printed.
        _drop_output()
        return Exit.DONE


def _drop_output() -> None:
    """Discard output that is not written yet, so that the interpreter does not write it at its end: the reader is gone, or does not read
    and would make the process wait."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # no file: a test's
            os.dup2(null, stream.fileno())
    os.close(null)


def _run(arguments: Namespace) -> int:
    from actors.cli.output import print_error
    from config import logging
    from config.disk import write_fault
    from config.errors import ConfigError, SettingsError

    # A command's output is its result; the log of its libraries goes to standard error. `wasup run` sets up its own logging.
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
    except OSError as error:
        if (reason := write_fault(error)) is None:
            raise
        print_error(f"{error.filename or 'a file'} cannot be written: {reason}")
        return Exit.FAILED
    return code
