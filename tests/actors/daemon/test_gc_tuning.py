"""Full garbage collections that stay short."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from actors.daemon.gc_tuning import LONG_S, REVIEW_EVERY_S, passing_over_survivors


class Clock:
    """Advances by ``step_s`` at each reading."""

    def __init__(self, step_s: float) -> None:
        self.now = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


@pytest.fixture(autouse=True)
def nothing_frozen() -> Generator[None]:
    """Leaves the collector as it was."""
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_survives_a_long_collection_is_passed_over_by_the_next() -> None:
    """A thousand companies are traversed once, not every few seconds."""
    survivor = [object()]
    with passing_over_survivors(clock=Clock(LONG_S)):
        gc.collect()

        assert gc.get_freeze_count() > 0
        assert all(survivor is not found for found in gc.get_objects())


def test_a_short_collection_freezes_nothing() -> None:
    """Objects that are cheap to traverse stay unfrozen, so that none of them becomes garbage unnoticed."""
    with passing_over_survivors(clock=Clock(LONG_S / 2)):
        gc.collect()

        assert gc.get_freeze_count() == 0


def test_young_collections_freeze_nothing() -> None:
    """They traverse only new objects, of which many are about to end."""
    with passing_over_survivors(clock=Clock(LONG_S)):
        gc.collect(0)
        gc.collect(1)

        assert gc.get_freeze_count() == 0


def test_garbage_among_what_was_passed_over_is_found_in_the_end() -> None:
    """Rings that have become garbage since are freed by the next collection after an hour."""
    clock = Clock(LONG_S)
    ring: list[object] = []
    ring.append(ring)
    marker = Marked()
    ring.append(marker)
    ended = marker.ended
    with passing_over_survivors(clock=clock):
        gc.collect()
        del ring, marker
        clock.step_s = 0.0
        gc.collect()
        before = list(ended)
        clock.now += REVIEW_EVERY_S
        gc.collect()
        gc.collect()

        assert (before, ended) == ([], ["ended"])


class Marked:
    """Records when it is freed."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def __del__(self) -> None:
        self.ended.append("ended")


def test_the_collector_is_left_as_it_was() -> None:
    """Outside of the block its callback is not registered."""
    before = list(gc.callbacks)
    with passing_over_survivors():
        during = len(gc.callbacks)

    assert (during, gc.callbacks) == (len(before) + 1, before)
