"""A thousand times initialize and stop beside 49 linked companies, with the limit on such orders lifted."""

from __future__ import annotations

import pytest

from tests.acceptance.pairing_loop import MIB, MOST_BYTES, MOST_DESCRIPTORS, run_loop
from tests.support.api import Api
from tests.support.site import Plan, Site, User

CYCLES = 1000
NEIGHBOURS = tuple(User(number) for number in range(1, 50))
LOOPING = User(60)
PLAN = Plan(companies=NEIGHBOURS, settings={"WASUP_RATE_LIMIT_MAX_ORDERS": "1000000"})


@pytest.mark.long
async def test_a_thousand_given_up_pairings_drop_nobody(site: Site, api: Api) -> None:
    """No neighbour is disconnected, each engine of linked companies is within 10 descriptors and 10 MB of where it began."""
    loop = await run_loop(site, api, NEIGHBOURS, LOOPING.company, cycles=CYCLES)

    print(
        f"{CYCLES} cycles in {loop.seconds:.0f} s, {loop.pairing_processes} pairing processes, the largest: {loop.pairing_peak}"
    )
    for name, descriptors, mib in loop.grown():
        print(f"{name}: {loop.before[name]} -> {loop.after[name]}: {descriptors:+d} descriptors, {mib:+.1f} MiB")
    assert loop.transitions == []
    assert all(loop.after[name].pid == held.pid for name, held in loop.before.items())
    for name, descriptors, mib in loop.grown():
        assert descriptors <= MOST_DESCRIPTORS, (name, descriptors)
        assert mib * MIB <= MOST_BYTES, (name, mib)
