"""Slots shared by the keys of an installation, as the routes take them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from actors.daemon.metric_types import Sample
from actors.http.access.principal import Principal
from actors.http.model.problems import Problem
from actors.sharing import NoSlot, SharedSlots


@contextmanager
def slot_for(principal: Principal, slots: SharedSlots, refused: str, what: str) -> Generator[None]:
    """Hold a slot for the holder of this key during the block.

    Raises the problem ``refused``; ``what`` names the kind of place in its text.
    """
    take_slot(principal, slots, refused, what)
    try:
        yield
    finally:
        slots.give_back(principal.key_id, is_admin=principal.is_admin)


def take_slot(principal: Principal, slots: SharedSlots, refused: str, what: str) -> None:
    """Take a slot that the caller gives back. Raises like `slot_for`."""
    try:
        slots.take(principal.key_id, is_admin=principal.is_admin)
    except NoSlot as error:
        raise Problem(refused, f"{what}: {error}") from None


def slot_samples(**shared: SharedSlots) -> Iterator[Sample]:
    """Return how full each shared limit is, by its name."""
    for name, slots in shared.items():
        labels = {"of": name}
        yield Sample("wasup_shared_places", "Places that keys share, in all", slots.limit, labels)
        yield Sample("wasup_shared_places_taken", "Places that keys share and that are taken", slots.taken, labels)
        text = "Requests for a place that were refused: the key's share, or all, was taken"
        yield Sample("wasup_shared_places_refused", text, slots.refused, labels, kind="counter")
