"""Takes one cause out of an exception group."""

from __future__ import annotations

from typing import cast


def first_leaf(error: BaseException) -> BaseException:
    """Return the exception itself, or the first leaf of a group: nurseries wrap what their tasks raise."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return first_leaf(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
