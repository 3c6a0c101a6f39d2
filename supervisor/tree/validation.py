"""Checks of specifications. Each message names the field, the given value and what would be right."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from supervisor.errors import SpecError
from supervisor.tree.backoff import Backoff
from supervisor.tree.choices import AutoShutdown, BrutalKill, Overflow, Restart, Strategy
from supervisor.tree.intensity import Intensity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.tree.spec import ChildSpec, DynamicSupervisorSpec, MailboxSpec, SupervisorSpec

_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_CAPACITY: Final = 1_000_000


def is_id(value: object) -> bool:
    """Return whether ``value`` can be a child's id. `.` and `..` cannot: paths appear in URLs."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and value not in (".", "..")


def check_choice(field: str, value: object, choice: type[Enum]) -> None:
    if not isinstance(value, choice):
        wanted = ", ".join(f"{choice.__name__}.{member.name}" for member in choice)
        raise SpecError(field, f"must be one of {wanted}, not {value!r}")


def check_count(field: str, value: object, lowest: int, highest: int) -> None:
    if type(value) is not int or not lowest <= value <= highest:
        raise SpecError(field, f"must be an integer from {lowest} to {highest}, not {value!r}")


def check_bool(field: str, value: object) -> None:
    if type(value) is not bool:
        raise SpecError(field, f"must be True or False, not {value!r}")


def check_instance(field: str, value: object, wanted: type, *, or_none: bool = False) -> None:
    if not isinstance(value, wanted) and not (or_none and value is None):
        article = "an" if wanted.__name__[0] in "AEIOU" else "a"
        raise SpecError(field, f"must be {'None or ' if or_none else ''}{article} {wanted.__name__}, not {value!r}")


def check_timeout(field: str, value: object) -> None:
    if value is not None and not 0 < _number(value) < math.inf:
        raise SpecError(field, f"must be None or a finite number of seconds above 0, not {value!r}")


def check_mailbox(spec: MailboxSpec) -> None:
    check_count("mailbox.capacity", spec.capacity, 1, MAX_CAPACITY)
    check_choice("mailbox.overflow", spec.overflow, Overflow)
    check_count("mailbox.stash_capacity", spec.stash_capacity, 0, MAX_CAPACITY)


def check_child(spec: ChildSpec, mailbox_type: type[MailboxSpec]) -> None:
    """Raise `SpecError` for the first wrong field. The usual spec passes a fast check, since one is made for every dynamic child."""
    if not is_id(spec.id):
        raise SpecError("id", f"must be 1 to 64 of A-Z a-z 0-9 _ . - (and neither '.' nor '..'), not {spec.id!r}")
    if not (
        callable(spec.start)
        and spec.restart.__class__ is Restart
        and spec.significant is False
        and (spec.shutdown is None or spec.shutdown.__class__ is BrutalKill)
        and spec.backoff is None
        and spec.mailbox.__class__ is mailbox_type
        and spec.start_timeout is None
        and spec.handler_timeout is None
    ):
        _check_fields(spec, f"child {spec.id!r}: ", mailbox_type)


def _check_fields(spec: ChildSpec, where: str, mailbox_type: type[MailboxSpec]) -> None:
    if not spec.is_supervisor and not callable(spec.start):
        text = f"must be a function of a Context or the spec of a supervisor, not {spec.start!r}"
        raise SpecError(where + "start", text)
    check_choice(where + "restart", spec.restart, Restart)
    check_bool(where + "significant", spec.significant)
    if spec.significant and spec.restart is Restart.PERMANENT:
        raise SpecError(where + "significant", "a permanent child cannot be significant: it never ends for good")
    if spec.shutdown is not None and not isinstance(spec.shutdown, BrutalKill):
        _check_shutdown(where + "shutdown", spec.shutdown)
    check_instance(where + "backoff", spec.backoff, Backoff, or_none=True)
    check_instance(where + "mailbox", spec.mailbox, mailbox_type)
    check_timeout(where + "start_timeout", spec.start_timeout)
    check_timeout(where + "handler_timeout", spec.handler_timeout)


def check_supervisor(spec: SupervisorSpec, child_type: type[ChildSpec]) -> None:
    check_choice("strategy", spec.strategy, Strategy)
    check_intensity(spec.intensity)
    check_choice("auto_shutdown", spec.auto_shutdown, AutoShutdown)
    if not callable(spec.children):
        check_children(spec.children, spec.auto_shutdown, child_type)


def check_children(children: object, auto_shutdown: AutoShutdown, child_type: type[ChildSpec]) -> None:
    """Check the children of an ordered supervisor, each one and together."""
    if not isinstance(children, (tuple, list)):
        raise SpecError("children", f"must be a sequence of ChildSpec, not {children!r}")
    seen: set[str] = set()
    for child in cast("Sequence[object]", children):
        if not isinstance(child, child_type):
            raise SpecError("children", f"must be a sequence of ChildSpec, but holds {child!r}")
        if child.id in seen:
            raise SpecError("children", f"two children have the id {child.id!r}")
        seen.add(child.id)
        check_significant(child, auto_shutdown)


def check_significant(child: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    if child.significant and auto_shutdown is AutoShutdown.NEVER:
        raise SpecError(
            f"child {child.id!r}: significant", "needs a supervisor whose auto_shutdown is not AutoShutdown.NEVER"
        )


def check_dynamic(spec: DynamicSupervisorSpec) -> None:
    check_intensity(spec.intensity)
    if spec.max_children is not None:
        check_count("max_children", spec.max_children, 1, MAX_CAPACITY)
    check_bool("intensity_per_child", spec.intensity_per_child)


def check_intensity(intensity: object) -> None:
    check_instance("intensity", intensity, Intensity)


def _check_shutdown(field: str, value: object) -> None:
    if not _number(value) >= 0:
        raise SpecError(field, f"must be a number of seconds of at least 0, INFINITY or BRUTAL_KILL, not {value!r}")


def _number(value: object) -> float:
    """Return the value if it is a number; otherwise NaN, for which every comparison is False."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
