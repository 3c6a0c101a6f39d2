"""What commands print: tables and lines for people, JSON for scripts. Output for people never contains terminal control sequences."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from config.redaction import printable

MAX_CELL: Final = 2000
_CLEAR: Final = "\x1b[H\x1b[2J\x1b[3J"


def print_line(text: str = "") -> None:
    """Print one line to standard output, with unprintable characters replaced."""
    print(printable(text, MAX_CELL), flush=True)


def print_block(text: str) -> None:
    """Print lines that were made here (a QR code, a table) as they are."""
    print(text, flush=True)


def print_error(text: str) -> None:
    """Print one sentence to standard error."""
    print(f"wasup: {printable(text, MAX_CELL)}", file=sys.stderr, flush=True)


def print_note(text: str) -> None:
    """Print a remark for people to standard error, so that standard output has the result alone."""
    print(printable(text, MAX_CELL), file=sys.stderr, flush=True)


def print_json(value: object, *, indent: int = 2) -> None:
    """Print a JSON document; with ``indent`` 0 on one line."""
    encoded = msgspec.json.encode(value)
    print((msgspec.json.format(encoded, indent=indent) if indent else encoded).decode(), flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, each as wide as its widest cell."""
    cells = [[printable(cell, MAX_CELL) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    sys.stdout.flush()


def clear_screen() -> None:
    """Clear the screen, when standard output is a terminal."""
    if sys.stdout.isatty():
        print(_CLEAR, end="", flush=True)


def terminal_fits(columns: int, rows: int) -> bool:
    """Return whether standard output can show so much at once. Output that is not a terminal counts as large enough."""
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return True
    return size.columns == 0 or (size.columns >= columns and size.lines >= rows)


def show_time(seconds: float) -> str:
    """Return Unix seconds as a date and time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def show_duration(seconds: float) -> str:
    """``0.3s``, ``12s``, ``3m05s``, ``2h10m``, ``4d01h``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, below, letters in ((86_400, 3600, "dh"), (3600, 60, "hm"), (60, 1, "ms")):
        if whole >= unit:
            return f"{whole // unit}{letters[0]}{whole % unit // below:02}{letters[1]}"
    return f"{whole}s"
