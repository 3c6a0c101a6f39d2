"""Converts an exception to a `CrashReport`. The text is made at once, so that no frame or exception is kept alive."""

from __future__ import annotations

import linecache
import traceback
from functools import lru_cache
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Final, Literal, cast

from supervisor.introspection.report import CrashReport, ExitReason

if TYPE_CHECKING:
    from supervisor.tree.node import Node

MAX_TEXT: Final = 1_000
MAX_TRACEBACK: Final = 16_000
_MAX_FRAMES: Final = 20
_MAX_CHAIN: Final = 5


def crash_report(
    exc: BaseException, *, message_type: str | None, caller: str | None, at: float, skip: int = 0
) -> CrashReport:
    """Report a caught exception; the ``skip`` outermost frames, which are this package's, are left out.

    Clears the locals of the frames it passed through and drops its traceback, so that the exception keeps no other
    object alive.
    """
    report = CrashReport(
        type=type(exc).__qualname__,
        text=_text(exc),
        traceback=render(exc, skip),
        message_type=message_type,
        caller=caller,
        at=at,
    )
    _forget(exc)
    return report


def killed(why: str, node: Node, kind: str = "Killed") -> ExitReason:
    """Return the reason of an incarnation that is cancelled from outside, without a call of `stopping`."""
    return ended_by_force("killed", kind, why, node)


def ended_by_force(reason: Literal["killed", "crashed"], kind: str, why: str, node: Node) -> ExitReason:
    """Return the reason of an incarnation whose end has another cause than its own exception."""
    report = CrashReport(
        type=kind,
        text=why,
        traceback="",
        message_type=node.message_in_hand,
        caller=None,
        at=node.runtime.unix_now(),
    )
    return ExitReason(reason, f"{kind}: {why}" if reason == "crashed" else why, report)


def render(exc: BaseException, skip: int = 0) -> str:
    """Return the traceback as Python prints it, causes first, cut to `MAX_TRACEBACK` characters."""
    parts = [_one(exc, skip)]
    current, why = _before(exc)
    while current is not None and len(parts) < 2 * _MAX_CHAIN:
        parts += (f"\n{why}:\n\n", _one(current, 0))
        current, why = _before(current)
    text = "".join(reversed(parts)) if len(parts) > 1 else parts[0]
    return text if len(text) <= MAX_TRACEBACK else text[: MAX_TRACEBACK - 1] + "…"


def _before(exc: BaseException) -> tuple[BaseException | None, str]:
    """Return the exception that led to this one, and how."""
    if exc.__cause__ is not None:
        return exc.__cause__, "The above exception was the direct cause of the following exception"
    if exc.__context__ is not None and not exc.__suppress_context__:
        return exc.__context__, "During handling of the above exception, another exception occurred"
    return None, ""


def _one(exc: BaseException, skip: int) -> str:
    steps = _steps(exc.__traceback__)[skip:]
    text = "Traceback (most recent call last):\n"
    if len(steps) > _MAX_FRAMES:
        text += f"  ({len(steps) - _MAX_FRAMES} frames left out)\n"
        del steps[:-_MAX_FRAMES]
    for step in steps:
        text += _step(step.tb_frame.f_code, step.tb_lineno)
    text += f"{type(exc).__qualname__}: {_text(exc)}\n"
    inner = _inner(exc)
    return text + _members(inner) if inner else text


def _members(inner: tuple[BaseException, ...]) -> str:
    shown = enumerate(inner[:_MAX_CHAIN], start=1)
    return "".join(f"-- {number} of {len(inner)} --\n{_one(one, 0)}" for number, one in shown)


@lru_cache(maxsize=512)
def _step(code: CodeType, line: int) -> str:
    source = linecache.getline(code.co_filename, line).strip()
    place = f'  File "{code.co_filename}", line {line}, in {code.co_qualname}\n'
    return f"{place}    {source}\n" if source else place


def _steps(tb: TracebackType | None) -> list[TracebackType]:
    steps: list[TracebackType] = []
    while tb is not None:
        steps.append(tb)
        tb = tb.tb_next
    return steps


def _text(exc: BaseException) -> str:
    try:
        text = str(exc)
    except Exception as broken:  # noqa: BLE001 - a report must not fail over an exception that cannot be printed
        text = f"<str() raised {type(broken).__qualname__}>"
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _forget(exc: BaseException) -> None:
    """Break the cycles between exceptions and frames, which would otherwise wait for the garbage collector."""
    tb, exc.__traceback__ = exc.__traceback__, None
    if tb is not None:
        traceback.clear_frames(tb.tb_next)  # the first frame is the one that caught it, and still runs
    if exc.__cause__ is not None or exc.__context__ is not None or _inner(exc):
        _forget_all(exc)


def _forget_all(exc: BaseException) -> None:
    seen: set[int] = set()
    todo = [exc]
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        traceback.clear_frames(current.__traceback__)
        current.__traceback__ = None
        todo += [linked for linked in (current.__cause__, current.__context__) if linked is not None]
        todo += _inner(current)


def _inner(exc: BaseException) -> tuple[BaseException, ...]:
    return cast("BaseExceptionGroup[BaseException]", exc).exceptions if isinstance(exc, BaseExceptionGroup) else ()
