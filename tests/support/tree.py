"""The tree of actors, as the administration shows it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.api import Json


def nodes(root: Json) -> Iterator[Json]:
    """An actor and all below it, parents before children."""
    yield root
    for child in root["children"]:
        yield from nodes(child)
