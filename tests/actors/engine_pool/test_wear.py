"""When an engine process is worn."""

from __future__ import annotations

import msgspec
import pytest

from actors.engine.protocol.messages import EngineStatistics
from actors.engine_pool.wear import wear_of
from config.sections import EngineSettings

SETTINGS = EngineSettings(max_stale_clients=100, max_stale_pairings=10, max_descriptors=1000, max_threads=100)
FRESH = EngineStatistics(
    call=1, companies=("a", "b"), rss_bytes=0, threads=20, stale_clients=0, descriptors=40, descriptor_limit=4000
)


def test_a_fresh_process_is_not_worn() -> None:
    """Whatever it hosts."""
    assert not wear_of(FRESH, "linked", SETTINGS).is_worn
    assert not wear_of(FRESH, "pairing", SETTINGS).is_worn


@pytest.mark.parametrize(
    "stuck_clients",
    [{"stale_clients": 100}, {"descriptors": 1016}, {"threads": 108}, {"descriptors": 616, "descriptor_limit": 1000}],
)
def test_each_thing_that_is_left_behind_counts(stuck_clients: dict[str, int]) -> None:
    """Clients, descriptors, threads, and descriptors where the system allows few: worn at its limit, not just below it."""
    at = msgspec.structs.replace(FRESH, **stuck_clients)
    name = next(iter(stuck_clients))
    below = msgspec.structs.replace(at, **{name: stuck_clients[name] - 1})

    assert (wear_of(at, "linked", SETTINGS).is_worn, wear_of(below, "linked", SETTINGS).is_worn) == (True, False)
    assert not wear_of(at, "linked", SETTINGS).is_exhausted


@pytest.mark.parametrize("stuck_clients", [{"stale_clients": 150}, {"descriptors": 1516}, {"threads": 158}])
def test_half_as_much_again_is_the_end(stuck_clients: dict[str, int]) -> None:
    """A process that no company could leave does not grow until the system ends it."""
    assert wear_of(msgspec.structs.replace(FRESH, **stuck_clients), "linked", SETTINGS).is_exhausted


def test_what_its_companies_hold_is_not_wear() -> None:
    """Many companies need many descriptors and threads."""
    many = tuple(f"company-{number}" for number in range(500))
    busy = msgspec.structs.replace(FRESH, companies=many, descriptors=4900, threads=2000, descriptor_limit=0)

    assert not wear_of(busy, "linked", SETTINGS).is_worn


def test_a_pairing_process_is_worn_much_earlier() -> None:
    """Replacing it costs no company anything; but it is never ended while companies are being linked in it."""
    paired = msgspec.structs.replace(FRESH, stale_clients=10)

    assert wear_of(paired, "pairing", SETTINGS).is_worn
    assert not wear_of(paired, "linked", SETTINGS).is_worn
    assert not wear_of(msgspec.structs.replace(paired, stale_clients=90), "pairing", SETTINGS).is_exhausted
