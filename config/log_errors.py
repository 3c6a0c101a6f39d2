"""How an exception appears in a log: its type, the first line of its text, where it was raised, and its causes."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from config.redaction import printable, scrub, scrub_foreign_error

_MAX_FRAMES = 12
_MAX_CAUSES = 4
_MAX_FRAME_CHARS = 200
_FRAME = re.compile(r'^[ |+-]*File "([^"\n]*)", line (\d+), in (\S+)$', re.MULTILINE)
_MAX_MEMBERS = 5
_OWN_PACKAGES = frozenset({"supervisor", "actors", "storage", "config"})
_LIBRARY_DIR = sysconfig.get_path("purelib")
_OWN_DIR = str(Path(__file__).parent.parent)


def describe_error(error: BaseException, max_chars: int, depth: int = 0) -> dict[str, Any]:
    """Return the parts of an exception for a log. Never shows values of variables; quoted parts of foreign
    exceptions' texts are left out."""
    kind = type(error)
    described: dict[str, Any] = {
        "type": printable(f"{kind.__module__}.{kind.__qualname__}", max_chars),
        "text": _text(error, max_chars),
        "frames": _frames(error.__traceback__),
    }
    if isinstance(error, BaseExceptionGroup) and depth < _MAX_CAUSES:
        members: tuple[BaseException, ...] = error.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        described["members"] = [describe_error(member, max_chars, depth + 1) for member in members[:_MAX_MEMBERS]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < _MAX_CAUSES:
        described["cause"] = describe_error(cause, max_chars, depth + 1)
    return described


def _text(error: BaseException, max_chars: int) -> str:
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001  # a broken __str__ must not break the log
        return f"[no text: {type(failure).__name__}]"
    if type(error).__module__.partition(".")[0] in _OWN_PACKAGES:
        return scrub(text.partition("\n")[0], max_chars)
    return scrub_foreign_error(text, max_chars)


def frames_of(formatted: str) -> list[str]:
    """Return the innermost frames that a formatted traceback names, in its order."""
    frames = _FRAME.findall(formatted)[-_MAX_FRAMES:]
    return [_frame(filename, line, name) for filename, line, name in frames]


def _frames(trace: TracebackType | None) -> list[str]:
    """Return the innermost frames, outermost first: ``actors/root.py:12 serve``."""
    frames = traceback.extract_tb(trace)[-_MAX_FRAMES:]
    return [_frame(frame.filename, frame.lineno, frame.name) for frame in frames]


def _frame(filename: str, line: object, name: str) -> str:
    return printable(f"{_short(filename)}:{line} {name}", _MAX_FRAME_CHARS)


def _short(filename: str) -> str:
    for directory in (_LIBRARY_DIR, _OWN_DIR):
        if filename.startswith(f"{directory}/"):
            return filename[len(directory) + 1 :]
    return filename
