"""Kill every actor of the tree through the administration: it comes back, says why, and no other actor ends with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import pytest

from storage.database.pool import Database, open_database
from tests.acceptance.witness import Witness, witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api, Json
from tests.support.bars import patience
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User
from tests.support.tree import nodes

A, B, C, D = (User(number) for number in range(1, 5))
COMPANIES = (A, B, C, D)
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    settings={"WASUP_SESSIONS_PER_ENGINE": "2", "RATE_LIMIT_MAX_REQUESTS": "1000", "WASUP_LEASE_RENEW_INTERVAL_S": "1"},
)
HARMLESS = (
    "/postgres",
    "/disk",
    "/storage",
    "/versions",
    "/events",
    "/limiter",
    "/placement",
    "/directory",
    "/health",
    "/janitor",
    "/keeper",
    "/http",
)
"""No company lives below them."""
HOSTS = ("/engines/engine-0", "/engines/engine-1")
GROUPS = ("/engines", "/companies")
UNUSED = ("/webhooks",)
"""A group of which this site has none."""
DONE = ("/boot",)
"""They ended in order after their work."""
BACK_WITHIN_S = patience(10.0)
CONNECTED_WITHIN_S = patience(10.0)


async def test_these_are_all_actors(api: Api) -> None:
    """The kills below name every actor of the tree."""
    tree = (await api.get("/admin/tree"))["tree"]
    companies = {f"/companies/{name}" for name in NAMES}

    assert set(_lasting(nodes(tree))) == {"/", *HARMLESS, *HOSTS, *GROUPS, *UNUSED, *DONE, *companies}


@pytest.mark.parametrize("path", HARMLESS)
async def test_a_killed_actor_costs_no_connection(api: Api, loopback: RemoteLoopback, path: str) -> None:
    """An actor without companies comes back, the tree says that it was killed, and no company leaves WhatsApp."""
    before, actor = await _before(api, loopback, path)
    await _kill(api, path)

    await _assert_back(api, path, actor)
    await _assert_talking(api)
    assert await before.more("logins") == 0
    assert [await before.statuses(user) for user in COMPANIES] == [[], [], [], []]


async def test_leases_are_renewed_after_the_directory_was_killed(api: Api, site: Site) -> None:
    """The new directory learns which leases are held, and goes on renewing every one of them before it ends."""
    await api.wait_connected(*NAMES)
    old = await api.actor("/directory")
    await _kill(api, "/directory")
    await _assert_back(api, "/directory", old)
    async with open_database(site.dsn, size=1) as database:
        ends = dict(await _lease_ends(database))

        async def all_renewed() -> bool:
            return all(end > ends[company] for company, end in await _lease_ends(database))

        await eventually("every lease to be renewed", all_renewed, within=BACK_WITHIN_S)

    assert ends.keys() == set(NAMES)


@pytest.mark.parametrize("user", [A, D], ids=[A.company, D.company])
async def test_a_killed_company_is_alone(api: Api, loopback: RemoteLoopback, user: User) -> None:
    """A company's actor comes back and connects again; an event tells why, and no other company leaves WhatsApp."""
    path = f"/companies/{user.company}"
    before, actor = await _before(api, loopback, path)
    await _kill(api, path)

    await _assert_back(api, path, actor)
    restarted = await api.event(user.company, "restarted", after=before.seq)
    await _wait_connected_again(api, before, [user])
    await _assert_talking(api)
    assert "killed by an operator" in restarted["payload"]["reason"]
    assert restarted["payload"]["restarts"] == actor["restarts"] + 1
    assert await before.more("logins") == 1
    assert [await before.statuses(other) for other in COMPANIES if other != user] == [[], [], []]


@pytest.mark.parametrize("path", HOSTS)
async def test_a_killed_engine_actor_takes_its_own_companies_along(
    api: Api, loopback: RemoteLoopback, path: str
) -> None:
    """An engine's actor comes back with a new process; its companies connect again, the others do not leave WhatsApp."""
    hosted = [user for user in COMPANIES if (await api.status(user.company))["engine"] == path]
    before, actor = await _before(api, loopback, path)
    await _kill(api, path)

    await _assert_back(api, path, actor)
    await _wait_connected_again(api, before, hosted)
    await _assert_talking(api)
    assert await before.more("logins") == len(hosted) == 2
    assert [await before.statuses(user) for user in COMPANIES if user not in hosted] == [[], []]


@pytest.mark.parametrize("path", GROUPS)
async def test_a_killed_group_comes_back_whole(api: Api, loopback: RemoteLoopback, path: str) -> None:
    """The supervisor of all engines, or of all companies, comes back, and so does everything below it."""
    before, actor = await _before(api, loopback, path)
    await _kill(api, path)

    await _assert_back(api, path, actor)
    await _wait_connected_again(api, before, COMPANIES)
    await _assert_talking(api)
    assert await before.more("logins") == len(COMPANIES)
    assert sorted(_lasting((await api.actor(path))["children"])) == sorted(_lasting(actor["children"]))


def _lasting(actors: Iterable[Json]) -> list[str]:
    """The paths, without pairing processes: those come when one is needed and go when they are idle."""
    return [str(actor["path"]) for actor in actors if not actor["path"].startswith("/engines/pairing-")]


async def _before(api: Api, loopback: RemoteLoopback, path: str) -> tuple[Witness, Json]:
    await api.wait_connected(*NAMES)
    return await witness(api, loopback), await api.actor(path)


async def _kill(api: Api, path: str) -> None:
    answer = await api.call("POST", f"/admin/actors{path}/kill")

    assert answer.status_code == 200, answer.text


async def _assert_back(api: Api, path: str, before: Json) -> None:
    """It runs again after one more restart, and the tree says why it ended."""

    async def look() -> Json | None:
        answer = await api.try_get(f"/admin/actors{path}")
        actor: Json = answer.json()["actor"] if answer.status_code == 200 else {}
        is_back = actor.get("state") == "running" and actor["restarts"] > before["restarts"]
        return actor if is_back else None

    actor = await eventually(f"{path} to be back", look, within=BACK_WITHIN_S)
    assert actor["restarts"] == before["restarts"] + 1
    assert actor["lastCrash"] is not None
    assert actor["lastCrash"]["text"] == "killed by an operator"


async def _wait_connected_again(api: Api, before: Witness, users: Sequence[User]) -> None:
    for user in users:
        await api.event(user.company, "connected", after=before.seq, within=CONNECTED_WITHIN_S)


async def _assert_talking(api: Api) -> None:
    """Every company is connected, and a text gets through from one engine to the other and back."""
    await api.wait_connected(*NAMES, within=CONNECTED_WITHIN_S)
    for sender, recipient in ((A, D), (D, A)):
        await api.message(recipient.company, await _send(api, sender, recipient))


async def _send(api: Api, sender: User, recipient: User) -> str:
    """Send as an application does, again after a refusal with a Retry-After; return the message id."""

    async def look() -> str | None:
        answer = await api.try_send(sender.company, recipient.phone, "still there?")
        assert answer.status_code in (200, 503), answer.text
        return str(answer.json()["messageId"]) if answer.status_code == 200 else None

    return await eventually(f"{sender.company} to send", look, within=BACK_WITHIN_S)


async def _lease_ends(database: Database) -> list[tuple[str, datetime]]:
    rows = await database.fetch("SELECT company_id, expires_at FROM whatsapp_leases")
    return [(row["company_id"], row["expires_at"]) for row in rows]
