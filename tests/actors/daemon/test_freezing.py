"""`frozen`: a collector that does not look through ten thousand actors that are not garbage."""

from __future__ import annotations

import gc

import pytest

from actors.daemon.gc_tuning import frozen


def test_the_garbage_collector_passes_over_what_is_there() -> None:
    """Within the block everything that was there is frozen; afterwards nothing is."""
    before = gc.get_freeze_count()
    with frozen():
        assert gc.get_freeze_count() > before

    assert gc.get_freeze_count() == 0


def test_an_exception_leaves_nothing_frozen() -> None:
    """The garbage collector is as it was."""
    with pytest.raises(ValueError, match="broken"), frozen():
        raise ValueError("broken")

    assert gc.get_freeze_count() == 0
