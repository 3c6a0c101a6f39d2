"""A company that begins to link and gives up, in a loop: no neighbour is affected, and all resources are given back."""

from __future__ import annotations

from tests.acceptance.pairing_loop import MOST_BYTES, MOST_DESCRIPTORS, run_loop
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User, link_by_qr

NEIGHBOURS = (User(1), User(2), User(3))
LOOPING = User(9)
PLAN = Plan(
    companies=NEIGHBOURS,
    others=(LOOPING,),
    settings={
        "WASUP_RATE_LIMIT_MAX_ORDERS": "1000000",
        "WASUP_ENGINE_STATISTICS_INTERVAL_S": "0.2",
        "WASUP_ENGINE_MAX_STALE_PAIRINGS": "10",
        "WASUP_ENGINE_PAIRING_IDLE_S": "2",
    },
)


async def test_a_loop_of_initialize_and_stop_touches_no_neighbour(site: Site, api: Api) -> None:
    """Thirty times, with a pairing process that is worn after ten: the neighbours' engines end as they began."""
    loop = await run_loop(site, api, NEIGHBOURS, LOOPING.company, cycles=30)

    assert loop.transitions == []
    assert {name: held.pid for name, held in loop.after.items()} == {n: held.pid for n, held in loop.before.items()}
    for name, descriptors, mib in loop.grown():
        assert descriptors <= MOST_DESCRIPTORS, (name, descriptors)
        assert mib * 1024 * 1024 <= MOST_BYTES, (name, mib)
    assert loop.pairing_processes >= 2, "none was replaced"


async def test_after_the_loop_the_company_is_linked_as_any_other(
    site: Site, api: Api, loopback: RemoteLoopback
) -> None:
    """It goes on among the linked companies, and the pairing process ends once it is empty."""
    await link_by_qr(api, loopback, LOOPING)

    assert (await api.status(LOOPING.company))["engine"] == "/engines/engine-0"
    await eventually("the pairing processes to end", lambda: _only_linked(api), within=20.0)
    await api.send(LOOPING.company, f"+{NEIGHBOURS[0].phone}", "linked after all")


async def _only_linked(api: Api) -> bool:
    engines = (await api.get("/admin/actors/engines"))["actor"]["children"]
    return [engine["path"] for engine in engines] == ["/engines/engine-0"]


async def test_a_restart_of_the_daemon_finds_every_company_in_its_place(site: Site, api: Api) -> None:
    """Linked companies among linked ones, without a pairing process."""
    await site.daemon.stop()
    await site.daemon.restart()
    await api.wait_connected(*(user.company for user in NEIGHBOURS), within=20.0)

    assert {(await api.status(user.company))["engine"] for user in NEIGHBOURS} == {"/engines/engine-0"}
    answer = await api.call("POST", f"{SESSIONS}/{NEIGHBOURS[0].company}/initialize")
    assert answer.status_code == 409
