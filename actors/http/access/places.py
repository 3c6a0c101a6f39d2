"""Places shared by the keys of an installation, as the routes take them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from actors.daemon.metric_types import Sample
from actors.http.access.principal import Principal
from actors.http.model.problems import Problem
from actors.sharing import NoPlace, Places


@contextmanager
def place_for(principal: Principal, places: Places, refused: str, what: str) -> Generator[None]:
    """Hold a place for the holder of this key during the block.

    Raises the problem ``refused``; ``what`` names the kind of place in its text.
    """
    take_place(principal, places, refused, what)
    try:
        yield
    finally:
        places.give_back(principal.key_id, is_admin=principal.is_admin)


def take_place(principal: Principal, places: Places, refused: str, what: str) -> None:
    """Take a place that the caller gives back. Raises like `place_for`."""
    try:
        places.take(principal.key_id, is_admin=principal.is_admin)
    except NoPlace as error:
        raise Problem(refused, f"{what}: {error}") from None


def place_samples(**shared: Places) -> Iterator[Sample]:
    """Return how full each shared limit is, by its name."""
    for name, places in shared.items():
        labels = {"of": name}
        yield Sample("wasup_shared_places", "Places that keys share, in all", places.limit, labels)
        yield Sample("wasup_shared_places_taken", "Places that keys share and that are taken", places.taken, labels)
        text = "Requests for a place that were refused: the key's share, or all, was taken"
        yield Sample("wasup_shared_places_refused", text, places.refused, labels, kind="counter")
