"""From an exception raised while a request was handled to the problem that the client gets.

A response carries only texts of the catalogue and what the caller itself sent. The text of an unexpected exception is not sent.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

import structlog
from litestar.exceptions import HTTPException, ValidationException

from actors.daemon.exceptions import first_leaf
from actors.http.access.audit import AuditTrail, note_problem
from actors.http.model.problems import KINDS, Problem, company_of
from actors.messages import Refused
from config.disk import write_fault
from storage.errors import StorageFull, StorageUnavailable
from supervisor.errors import ActorCrashed, ActorStopped, AskTimeout, MailboxFull

_FRAMES: Final = 8

_BY_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "bad_request",
        404: "not_found",
        405: "method_not_allowed",
        406: "not_acceptable",
        413: "body_too_large",
        415: "unsupported_media_type",
    }
)


def problem_for(error: Exception, scope: Mapping[str, Any], audit: AuditTrail) -> Problem:
    """Return the problem for ``error``, noted in the audit log where needed. An unexpected error is logged, without its text.

    ``scope`` is the request's.
    """
    problem = problem_of(error)
    if problem is None:
        structlog.get_logger("wasup.http").error("request_failed", error=type(error).__name__, where=where(error))
        problem = Problem("internal_error")
    problem.company_id = company_of(problem, scope)
    note_problem(problem, scope, audit)
    return problem


def problem_of(error: Exception) -> Problem | None:
    """Return the problem for ``error``, or None when it is unexpected."""
    match error:
        case Problem():
            return error
        case Refused() if error.code in KINDS:
            return Problem(error.code, error.text, retry_after_s=error.retry_after_s, company_id=error.company_id)
        case OSError() if (reason := write_fault(error)) is not None:
            return Problem("storage_full", reason)
        case StorageFull() if error.on_disk:
            return Problem("storage_full", "the disk of Postgres is full")
        case StorageUnavailable():
            return Problem("storage_unavailable")
        case AskTimeout():
            return Problem("timeout")
        case MailboxFull():
            return Problem("overloaded")
        case ActorCrashed() | ActorStopped():
            return Problem("restarting")
        case ValidationException():
            return Problem("invalid_request", _what_is_wrong(error))
        case HTTPException() if error.status_code in _BY_STATUS:
            return Problem(_BY_STATUS[error.status_code], headers=error.headers)
        case _:
            return None


def _what_is_wrong(error: ValidationException) -> str | None:
    """Return ``name: message`` of each wrong parameter or field, in one line."""
    if not isinstance(error.extra, Sequence):
        return None
    entries = cast("Sequence[Any]", error.extra)
    return (
        "; ".join(_one_wrong(cast("Mapping[str, object]", entry)) for entry in entries if isinstance(entry, Mapping))
        or None
    )


def _one_wrong(entry: Mapping[str, object]) -> str:
    key, message = entry.get("key"), entry.get("message")
    return f"{key}: {message}" if key else str(message)


def where(error: BaseException) -> list[str]:
    """Return the innermost frames that an exception came through, for the log: file, line and function, never its text or values."""
    frames = traceback.extract_tb(first_leaf(error).__traceback__)[-_FRAMES:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
