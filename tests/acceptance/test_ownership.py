"""Two and three daemons on one database: a company's owner carries an order out, other daemons refuse it, and owners hand over."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Sequence

import httpx
import pytest
import trio

from storage.database.pool import Database, open_database
from tests.support.api import SESSIONS, Api
from tests.support.bars import patience
from tests.support.eventually import eventually
from tests.support.fleet import Clients, Fleet, clients_of, open_fleet, start
from tests.support.site import User, join_whatsapp, link_by_qr

USERS = [User(number) for number in range(1, 6)]
ASKED, STOPPED, FORGOTTEN, RESTARTED, _ = USERS
NEW = User(50)
ORDERS = (
    ("POST", "/initialize"),
    ("POST", "/start"),
    ("POST", "/stop"),
    ("POST", "/restart"),
    ("POST", "/logout"),
    ("DELETE", ""),
)
QUESTIONS = (("GET", "/status"), ("GET", "/health"), ("GET", "/qr"), ("GET", "/groups"))
HANDED_OVER_WITHIN_S = patience(20.0)
"""Far below the lease's 60 s, on a machine that is busy with much else; the test prints what it took."""
COMPANIES = 20


@pytest.fixture(scope="module")
def fleet() -> Generator[Fleet]:
    """Three daemons, started before any company is linked; all are linked at the first, with leases of an ordinary length."""
    with open_fleet(3, {"RATE_LIMIT_MAX_REQUESTS": "1000"}) as fleet:
        trio.run(_link_all, fleet)
        yield fleet


async def _link_all(fleet: Fleet) -> None:
    async with clients_of(fleet) as clients:
        await join_whatsapp(clients.loopback, [NEW])
        await link_at_the_first(clients, USERS)


async def link_at_the_first(clients: Clients, users: Sequence[User]) -> None:
    """Link them and wait until all daemons know their owner."""
    await join_whatsapp(clients.loopback, users)
    for user in users:
        await link_by_qr(clients.apis[0], clients.loopback, user)

    async def known() -> bool:
        states = [await api.states() for api in clients.apis[1:]]
        return all(each.get(user.company) == "elsewhere" for each in states for user in users)

    await eventually("the other daemons to know whose all companies are", known, within=30.0)


@pytest.fixture
async def clients(fleet: Fleet) -> AsyncGenerator[Clients]:
    """All daemons run."""
    async with clients_of(fleet) as clients:
        yield clients


@pytest.fixture
async def database(fleet: Fleet) -> AsyncGenerator[Database]:
    """For reading what is stored."""
    async with open_database(fleet.dsn, size=2) as database:
        yield database


def told(answer: httpx.Response) -> tuple[int, str, bool]:
    """What identifies a problem."""
    body = answer.json()
    return answer.status_code, body["code"], body["retryable"]


async def stored(database: Database, company: str) -> tuple[object, ...]:
    """Everything that an order may change of a company."""
    row = await database.fetchrow(
        """
        SELECT (SELECT count(*) FROM whatsapp_auth WHERE company_id = $1) AS creds,
            (SELECT count(*) > 0 FROM whatsapp_keys WHERE company_id = $1) AS keys,
            (SELECT count(*) FROM whatsapp_auth_archive WHERE company_id = $1) AS archives,
            (SELECT desired FROM whatsapp_companies WHERE company_id = $1) AS desired,
            (SELECT owner || epoch::text FROM whatsapp_leases WHERE company_id = $1) AS lease
        """,
        company,
    )
    assert row is not None
    return tuple(row[name] for name in ("creds", "keys", "archives", "desired", "lease"))


async def test_an_order_at_another_daemon_is_refused_and_changes_nothing(clients: Clients, database: Database) -> None:
    """503 with the owner's name, retryable: also an order to forget the company, whose identity stays, and whose owner sends on."""
    company = ASKED.company
    before = await stored(database, company)
    owner = await database.fetchval("SELECT owner FROM whatsapp_leases WHERE company_id = $1", company)
    for method, order in ORDERS:
        answer = await clients.apis[1].call(method, f"{SESSIONS}/{company}{order}")

        assert told(answer) == (503, "owned_elsewhere", True), order
        assert owner in answer.json()["error"]
        assert answer.headers["retry-after"] == "1"
    assert await stored(database, company) == before
    await clients.apis[0].send(company, STOPPED.phone, "still here")


async def test_another_daemon_says_nothing_untrue(clients: Clients) -> None:
    """It says neither that the company is stopped, nor that a message can never be sent; in the list it is `elsewhere`."""
    api, company = clients.apis[1], ASKED.company
    for method, question in QUESTIONS:
        answer = await api.call(method, f"{SESSIONS}/{company}{question}")
        assert told(answer) == (503, "owned_elsewhere", True), question

    assert told(await api.try_send(company, STOPPED.phone, "x")) == (503, "owned_elsewhere", True)
    assert (await api.states())[company] == "elsewhere"


async def test_the_administration_of_another_daemon_does_not_pretend(clients: Clients) -> None:
    """Killing or restarting the actor that waits there does nothing to the company."""
    for action in ("kill", "restart", "suspend", "resume"):
        answer = await clients.apis[1].try_post(f"/admin/actors/companies/{ASKED.company}/{action}")

        assert told(answer) == (503, "owned_elsewhere", True), action


async def test_a_stop_stops_everywhere(clients: Clients, database: Database) -> None:
    """The others wait for the lease to be given back; they read the record first, and say that it is stopped. Any may start it."""
    company = STOPPED.company
    await clients.apis[0].post(f"{SESSIONS}/{company}/stop")

    async def stopped_at_both() -> bool:
        return all([(await api.states())[company] == "stopped" for api in clients.apis])

    await eventually("a stop to be seen everywhere", stopped_at_both, within=10.0)
    await trio.sleep(3.0)  # three of their looks: long enough for a mistake to show
    assert await stopped_at_both()
    owners = await database.fetchval("SELECT owner FROM whatsapp_leases WHERE company_id = $1", company)
    assert owners is None
    status = await clients.apis[2].status(company)
    assert (status["status"], status["connected"]) == ("stopped", False)

    await clients.apis[1].post(f"{SESSIONS}/{company}/start")
    await clients.apis[1].wait_connected(company, within=20.0)
    assert told(await clients.apis[0].try_get(f"{SESSIONS}/{company}/status")) == (503, "owned_elsewhere", True)

    async def elsewhere() -> bool:
        return (await clients.apis[0].states())[company] == "elsewhere"

    await eventually("the first daemon to know who started it", elsewhere, within=10.0)


async def test_a_restart_stays_where_it_is(clients: Clients, database: Database) -> None:
    """Others wait for its lease, and do not get it."""
    company = RESTARTED.company
    before = (await stored(database, company))[-1]
    for path in (f"{SESSIONS}/{company}/restart", f"/admin/actors/companies/{company}/restart"):
        await clients.apis[0].post(path)
        await clients.apis[0].wait_connected(company, within=20.0)

    assert (await stored(database, company))[-1] == before


async def test_a_forgotten_company_vanishes_everywhere(clients: Clients, database: Database) -> None:
    """No daemon keeps an actor, a lease or a record of it."""
    company = FORGOTTEN.company
    answer = await clients.apis[0].call("DELETE", f"{SESSIONS}/{company}")

    async def gone() -> bool:
        return not any([company in await api.states() for api in clients.apis])

    assert (answer.status_code, answer.json()["loggedOut"]) == (200, True)
    await eventually("the company to vanish", gone, within=10.0)
    await trio.sleep(2.0)
    assert await gone()
    for api in clients.apis:
        assert told(await api.try_get(f"{SESSIONS}/{company}/status")) == (404, "no_such_company", False)
    held = await database.fetchval(
        "SELECT count(*) FROM whatsapp_leases WHERE company_id = $1 AND expires_at > now()", company
    )
    assert held == 0


async def test_one_of_three_initializes(clients: Clients) -> None:
    """In the same moment: one offers a code, two say clearly that another daemon owns the company."""
    answers: list[httpx.Response] = []

    async def initialize(api: Api) -> None:
        answers.append(await api.call("POST", f"{SESSIONS}/{NEW.company}/initialize", json={"method": "qr"}))

    async with trio.open_nursery() as nursery:
        for api in clients.apis:
            nursery.start_soon(initialize, api)

    refused = [told(answer) for answer in answers if answer.status_code != 200]
    assert refused == [(503, "owned_elsewhere", True)] * 2
    [offer] = [answer.json() for answer in answers if answer.status_code == 200]
    assert offer["qr"]


async def test_what_a_daemon_leaves_the_others_take_up(fleet: Fleet, clients: Clients) -> None:
    """In order, within seconds: also companies that were linked after the others had started."""
    await _stop_and_watch(fleet, clients, [user for user in USERS if user is not FORGOTTEN])
    await start(fleet.daemons[0], key_of=fleet.daemons[0])


@pytest.mark.long
def test_twenty_companies_are_handed_over_within_seconds() -> None:
    """A clean stop of one of two daemons, with leases of an ordinary length. Prints what it took."""
    users = [User(number) for number in range(1, COMPANIES + 1)]
    with open_fleet(2, {}) as fleet:
        trio.run(_hand_over, fleet, users)


async def _hand_over(fleet: Fleet, users: Sequence[User]) -> None:
    async with clients_of(fleet) as clients:
        await link_at_the_first(clients, users)
        await _stop_and_watch(fleet, clients, users)


async def _stop_and_watch(fleet: Fleet, clients: Clients, users: Sequence[User]) -> None:
    began = time.monotonic()
    await fleet.daemons[0].stop(within=60.0)
    ended = time.monotonic()

    async def taken_up() -> bool:
        states = [await api.states() for api in clients.apis[1:]]
        return all(any(each.get(user.company) == "connected" for each in states) for user in users)

    await eventually("the other daemons to have every company", taken_up, within=90.0)
    over = time.monotonic()
    print(
        f"{len(users)} companies were connected elsewhere {over - began:.1f} s after SIGTERM, "
        f"{over - ended:.1f} s after the daemon had ended",
        flush=True,
    )
    assert over - began < HANDED_OVER_WITHIN_S
