"""`frozen`: the collector does not traverse ten thousand actors that are no garbage."""

from __future__ import annotations

import gc

import pytest

from actors.daemon.gc_tuning import frozen


def test_the_garbage_collector_passes_over_what_is_there() -> None:
    """Within the block every existing object is frozen; afterwards none is."""
    before = gc.get_freeze_count()
    with frozen():
        assert gc.get_freeze_count() > before

    assert gc.get_freeze_count() == 0


def test_an_exception_leaves_nothing_frozen() -> None:
    """The garbage collector is as before."""
    with pytest.raises(ValueError, match="broken"), frozen():
        raise ValueError("broken")

    assert gc.get_freeze_count() == 0
