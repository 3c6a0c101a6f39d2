"""Runs a command's asynchronous part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar, TypeVarTuple, Unpack

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_async(fn: Callable[[Unpack[Ts]], Awaitable[T]], *args: *Ts) -> T:
    """Return what ``await fn(*args)`` returns, or raise what it raises, taken out of the groups that nurseries make.

    Of several exceptions the first is raised, an interruption by the user before any other.
    """
    try:
        return trio.run(fn, *args)
    except BaseExceptionGroup as group:
        found = list(leaves(group))
        interruption = next((leaf for leaf in found if isinstance(leaf, KeyboardInterrupt)), None)
        raise interruption or found[0] from None


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions in a group that are not groups themselves."""
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from leaves(member)  # pyright: ignore[reportUnknownArgumentType]  # its members' type is lost
        else:
            yield member
