"""What `wasup run` does before the daemon starts."""

from __future__ import annotations

import resource

import pytest

from actors.cli import run


def test_the_soft_limit_of_descriptors_is_raised_to_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the hard limit or what the daemon can use, whichever is less; the hard limit stays."""
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: taken.append(limits))
    for limits in ((1024, 4096), (1024, 1_000_000), (1024, resource.RLIM_INFINITY), (100_000, 1_000_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        run.raise_descriptor_limit()

    assert taken == [(4096, 4096), (65_536, 1_000_000), (65_536, resource.RLIM_INFINITY)]
