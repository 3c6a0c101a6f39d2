"""The tree of actors, as the administration tells it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.api import Json


def nodes(root: Json) -> Iterator[Json]:
    """An actor and all below it, each before what is below itself."""
    yield root
    for child in root["children"]:
        yield from nodes(child)
