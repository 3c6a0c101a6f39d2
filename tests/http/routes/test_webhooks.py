"""The routes of webhooks: what each key may do, what is refused and how, what is shown; over the real store and over the fake."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec
import pytest

from actors.http.services.webhook_store import DatabaseWebhooks
from config.sections import OutboundSettings, WebhookSettings
from config.values import parse_networks
from storage.database.pool import Database
from storage.tables import webhook_deliveries
from storage.tables.webhook_deliveries import DeadLetter
from tests.http.webhook_fakes import MemoryWebhooks
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon, running, sample_world
from tests.outbound.receiver import Received, listening

PATH = "/api/whatsapp/webhooks"
URL = "https://app.example/hook"


@pytest.fixture(params=["memory", "database"])
async def hooks(request: pytest.FixtureRequest, database: Database) -> AsyncGenerator[Daemon]:
    """A daemon with each kind of store."""
    world = sample_world()
    world.webhooks = MemoryWebhooks() if request.param == "memory" else DatabaseWebhooks(database)
    async with running(world) as daemon:
        yield daemon


async def make(daemon: Daemon, **body: Any) -> dict[str, Any]:
    """Make a webhook and return the response."""
    answer = await daemon.client.post(PATH, json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_webhook_is_made_shown_changed_and_removed(hooks: Daemon) -> None:
    """Its secret is in the first answer, and in no other."""
    made = await make(hooks, companies=[COMPANY_B, COMPANY_A], eventTypes=["message"], description="orders")
    secret, one = made.pop("secret"), f"{PATH}/{made['id']}"
    shown = (await hooks.client.get(one)).json()
    listed = (await hooks.client.get(PATH)).json()
    changed = await hooks.client.patch(one, json={"enabled": False, "eventTypes": None})
    replaced = await hooks.client.put(one, json={"url": "https://other.example/"})
    removed = await hooks.client.delete(one)
    after = [await hooks.client.request(method, one, json={}) for method in ("GET", "DELETE")]

    assert secret.startswith("whsec_")
    assert shown == made
    assert (made["companies"], made["eventTypes"], made["status"]) == ([COMPANY_A, COMPANY_B], ["message"], "active")
    assert (listed["count"], listed["next"]) == (1, None)
    assert listed["webhooks"] == [{name: value for name, value in shown.items() if name != "success"}]
    assert (changed.json()["status"], changed.json()["eventTypes"], changed.json()["description"]) == (
        "disabled",
        None,
        "orders",
    )
    assert (replaced.json()["url"], replaced.json()["companies"], replaced.json()["description"]) == (
        "https://other.example/",
        None,
        "",
    )
    assert removed.json() == {"success": True}
    assert [code(answer) for answer in after] == [(404, "no_such_webhook")] * 2
    for answer in (shown, listed, changed.json(), replaced.json()):
        assert secret not in str(answer)


async def test_a_list_comes_in_pages(hooks: Daemon) -> None:
    """In the order of the ids, each once."""
    made = sorted([(await make(hooks))["id"] for _ in range(5)])
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await hooks.client.get(PATH, params={"after": after, "limit": 2})).json()
        found += [webhook["id"] for webhook in page["webhooks"]]
        after = page["next"]
        assert page["count"] == 5

    assert found == made


async def test_a_companys_key_has_webhooks_of_its_own(hooks: Daemon) -> None:
    """It cannot make one for others or for all, nor see one that is for another company too: that does not exist for it."""
    foreign = [(await make(hooks))["id"], (await make(hooks, companies=[COMPANY_A, COMPANY_B]))["id"]]
    async with hooks.client_with(A_KEY) as client:
        for_all = await client.post(PATH, json={"url": URL})
        for_b = await client.post(PATH, json={"url": URL, "companies": [COMPANY_A, COMPANY_B]})
        for_nobody = await client.post(PATH, json={"url": URL, "companies": ["nobody"]})
        own = await client.post(PATH, json={"url": URL, "companies": [COMPANY_A]})
        widened = await client.patch(f"{PATH}/{own.json()['id']}", json={"companies": None})
        listed = await client.get(PATH)
        answers = [
            await client.request(method, f"{PATH}/{webhook_id}{path}", json=body)
            for webhook_id in (*foreign, "wh_0000000000000000", "%00", "x")
            for method, path, body in (
                ("GET", "", None),
                ("PUT", "", {"url": URL, "companies": [COMPANY_A]}),
                ("PATCH", "", {"enabled": False}),
                ("DELETE", "", None),
                ("POST", "/test", None),
                ("POST", "/secret", {}),
                ("DELETE", "/secret/previous", None),
                ("GET", "/dead-letters", None),
                ("POST", "/dead-letters/replay", {}),
                ("POST", "/dead-letters/discard", {}),
            )
        ]
    still = (await hooks.client.get(PATH)).json()

    assert [code(answer) for answer in (for_all, for_b, for_nobody, widened)] == [(403, "access_denied")] * 4
    assert for_b.content == for_nobody.content
    assert [webhook["id"] for webhook in listed.json()["webhooks"]] == [own.json()["id"]]
    assert {code(answer) for answer in answers} == {(404, "no_such_webhook")}
    assert {webhook["id"] for webhook in still["webhooks"]} == {*foreign, own.json()["id"]}
    assert all(webhook["enabled"] for webhook in still["webhooks"])


async def test_without_a_key_there_is_nothing(hooks: Daemon) -> None:
    """401, for every route."""
    async with hooks.client_with(None) as client:
        answers = [await client.get(PATH), await client.post(PATH, json={"url": URL}), await client.get(f"{PATH}/x")]

    assert {code(answer) for answer in answers} == {(401, "unauthorized")}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "invalid_request"),
        ({"url": 5}, "invalid_request"),
        ({"url": ""}, "invalid_request"),
        ({"url": URL, "urls": 1}, "invalid_request"),
        ({"url": URL, "eventTypes": ["mesage"]}, "invalid_request"),
        ({"url": URL, "eventTypes": []}, "invalid_request"),
        ({"url": URL, "companies": []}, "invalid_request"),
        ({"url": URL, "companies": ["a b"]}, "invalid_request"),
        ({"url": URL, "secret": "short"}, "invalid_request"),
        ({"url": URL, "secret": "with a blank, and long enough"}, "invalid_request"),
        ({"url": URL, "description": "a\0b"}, "invalid_request"),
        ({"url": URL, "description": "x" * 257}, "invalid_request"),
        ({"url": "https://app.example/" + "x" * 2048}, "invalid_request"),
        ({"url": "app.example"}, "invalid_url"),
        ({"url": "http://app.example/"}, "invalid_url"),
        ({"url": "https://user:password@app.example/"}, "invalid_url"),
        ({"url": "https://127.0.0.1/"}, "invalid_url"),
        ({"url": "https://[::1]/"}, "invalid_url"),
        ({"url": "https://2130706433/"}, "invalid_url"),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_made(daemon: Daemon, body: dict[str, Any], expected: str) -> None:
    """422 that says what is wrong, for making and for changing; a URL is not repeated, it may hold a password."""
    made = await make(daemon)
    answers = [await daemon.client.post(PATH, json=body), await daemon.client.put(f"{PATH}/{made['id']}", json=body)]
    if body and "secret" not in body:
        answers.append(await daemon.client.patch(f"{PATH}/{made['id']}", json=body))
    listed = (await daemon.client.get(PATH)).json()

    assert {code(answer) for answer in answers} == {(422, expected)}
    assert (listed["count"], listed["webhooks"][0]["url"]) == (1, URL)
    assert all("password@" not in answer.text for answer in answers)


async def test_there_is_a_limit(database: Database) -> None:
    """409, until one is removed."""
    world = sample_world()
    async with running(world, webhooks=WebhookSettings(max_endpoints=1)) as daemon:
        first = await make(daemon)
        refused = await daemon.client.post(PATH, json={"url": URL})
        await daemon.client.delete(f"{PATH}/{first['id']}")
        await make(daemon)

    assert code(refused) == (409, "too_many_webhooks")


async def test_a_secret_is_rotated(hooks: Daemon) -> None:
    """One that the application chose, one that is generated; the old one is shown as valid beside it until it is retired."""
    made = await make(hooks, secret="an-application-s-own-secret")
    one = f"{PATH}/{made['id']}"
    rotated = (await hooks.client.post(f"{one}/secret", json={"overlapS": 60})).json()
    shown = (await hooks.client.get(one)).json()
    retired = (await hooks.client.request("DELETE", f"{one}/secret/previous")).json()
    at_once = (
        await hooks.client.post(f"{one}/secret", json={"overlapS": 0, "secret": "another-own-secret-0123456"})
    ).json()
    secrets = await hooks.world.webhooks.secrets(made["id"])

    assert made["secret"] == "an-application-s-own-secret"
    assert rotated["secret"] not in {made["secret"], ""}
    assert shown["previousSecretUntil"] == rotated["previousSecretUntil"] is not None
    assert retired["previousSecretUntil"] is None
    assert (at_once["secret"], at_once["previousSecretUntil"]) == ("another-own-secret-0123456", None)
    assert secrets is not None
    assert (secrets.current, secrets.previous) == ("another-own-secret-0123456", None)


async def test_a_test_event_is_delivered_now(database: Database) -> None:
    """Signed like any other, by any daemon; the response says how it went."""

    async def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        return (204 if request.target == "/fine" else 500), {}, b""

    outbound = OutboundSettings(allow_http=True, allowed_networks=parse_networks("127.0.0.1"))
    async with listening(answer) as host, running(sample_world(), outbound=outbound) as daemon:
        tests = []
        for path in ("fine", "broken"):
            made = await make(daemon, url=f"http://127.0.0.1:{host.port}/{path}", companies=[COMPANY_A])
            tests.append((await daemon.client.post(f"{PATH}/{made['id']}/test")).json())
        gone = await make(daemon, url="http://127.0.0.1:1/")
        tests.append((await daemon.client.post(f"{PATH}/{gone['id']}/test")).json())

    assert [(test["delivered"], test["failure"], test["status"]) for test in tests] == [
        (True, None, 204),
        (False, "status_500", 500),
        (False, "unreachable", None),
    ]
    event = msgspec.json.decode(host.received[0].body)
    assert (event["type"], event["seq"], event["companyId"]) == ("test", 0, COMPANY_A)
    assert host.received[0].headers["x-hub-signature-256"].startswith("sha256=")


async def test_internal_names_are_not_told_apart_from_names_that_do_not_exist() -> None:
    """A company's key reads the same of both in every field, the operator's key reads which it was."""
    outbound = OutboundSettings(connect_timeout_s=5.0)
    async with running(sample_world(), outbound=outbound) as daemon, daemon.client_with(A_KEY) as client:
        answers: list[tuple[Any, Any]] = []
        for host in ("localhost", "nothing.invalid"):
            made = await make(daemon, url=f"https://{host}/", companies=[COMPANY_A])
            test = f"{PATH}/{made['id']}/test"
            by_company = (await client.post(test, timeout=30)).json()["failure"]
            answers.append((by_company, (await daemon.client.post(test, timeout=30)).json()["failure"]))

    assert answers == [("unresolvable", "address_not_allowed"), ("unresolvable", "unresolvable")]


async def test_a_refused_url_names_the_setting_that_allows_it(daemon: Daemon) -> None:
    """http, and an address inside."""
    refused = [
        (await daemon.client.post(PATH, json={"url": url})).json()["detail"]
        for url in ("http://app.example/hook", "https://10.0.0.1/hook")
    ]

    assert "outbound.allow_http" in refused[0]
    assert "outbound.allowed_networks" in refused[1]


async def bury(database: Database, webhook_id: str, *letters: tuple[int, str]) -> None:
    """Have the webhook give events up: number and company of each; event ``e7`` is number 7."""
    held = await database.write(webhook_deliveries.acquire, webhook_id, "here/1", 60.0)
    assert held is not None
    for seq, company_id in letters:
        dead = DeadLetter(
            seq=seq,
            event_id=f"e{seq}",
            type="message",
            company_id=company_id,
            body=b'{"seq":%d}' % seq,
            attempts=12,
            failure="timed_out",
            status=None,
        )
        await database.write(webhook_deliveries.bury, held, dead)


async def test_dead_letters_are_listed_sent_again_and_discarded(database: Database) -> None:
    """Whole events; those chosen, or all."""
    world = sample_world()
    world.webhooks = DatabaseWebhooks(database)
    async with running(world) as daemon:
        made = await make(daemon)
        await bury(database, made["id"], *((seq, COMPANY_A) for seq in range(1, 5)))
        letters = f"{PATH}/{made['id']}/dead-letters"
        first = (await daemon.client.get(letters, params={"limit": 3})).json()
        rest = (await daemon.client.get(letters, params={"after": first["next"]})).json()
        replayed = (await daemon.client.post(f"{letters}/replay", json={"eventIds": ["e1", "e99"]})).json()
        discarded = (await daemon.client.post(f"{letters}/discard", json={"eventIds": ["e4"]})).json()
        all_of_them = (await daemon.client.post(f"{letters}/replay", json={})).json()
        left = (await daemon.client.get(letters)).json()["deadLetters"]
        shown = (await daemon.client.get(f"{PATH}/{made['id']}")).json()

    assert [letter["seq"] for letter in first["deadLetters"]] == [1, 2, 3]
    assert ([letter["seq"] for letter in rest["deadLetters"]], rest["next"]) == ([4], None)
    letter = first["deadLetters"][0]
    assert (letter["event"], letter["attempts"], letter["lastFailure"], letter["replay"]) == (
        {"seq": 1},
        12,
        "timed_out",
        False,
    )
    assert (replayed["count"], discarded["count"], all_of_them["count"]) == (1, 1, 2)
    assert [(letter["seq"], letter["replay"]) for letter in left] == [(1, True), (2, True), (3, True)]
    assert shown["deadLetters"] == 3


async def test_a_narrowed_webhook_shows_a_key_the_letters_of_its_companies_only(database: Database) -> None:
    """List, count, replay, discard: each checks the letter's company, not the webhook's. An admin sees letters left behind, and can
    discard them, but not send them to a receiver that is no longer for that company."""
    world = sample_world()
    world.webhooks = DatabaseWebhooks(database)
    async with running(world) as daemon:
        made = await make(daemon, companies=[COMPANY_A, COMPANY_B])
        one, letters = f"{PATH}/{made['id']}", f"{PATH}/{made['id']}/dead-letters"
        await bury(database, made["id"], (1, COMPANY_A), (2, COMPANY_B), (3, COMPANY_A), (4, COMPANY_B))
        await daemon.client.patch(one, json={"companies": [COMPANY_A]})
        async with daemon.client_with(A_KEY) as client:
            listed = (await client.get(letters)).json()["deadLetters"]
            counted = (await client.get(one)).json()["deadLetters"]
            replayed = [
                (await client.post(f"{letters}/replay", json=body)).json()["count"]
                for body in ({"eventIds": ["e2", "e4"]}, {})
            ]
            discarded = [
                (await client.post(f"{letters}/discard", json=body)).json()["count"]
                for body in ({"eventIds": ["e2", "e3"]}, {})
            ]
        left = (await daemon.client.get(letters)).json()["deadLetters"]
        replayed_by_admin = (await daemon.client.post(f"{letters}/replay", json={})).json()["count"]
        discarded_by_admin = (await daemon.client.post(f"{letters}/discard", json={})).json()["count"]

    assert [letter["seq"] for letter in listed] == [1, 3]
    assert counted == 2
    assert replayed == [0, 2]
    assert discarded == [1, 1]
    assert [(letter["seq"], letter["replay"]) for letter in left] == [(2, False), (4, False)]
    assert (replayed_by_admin, discarded_by_admin) == (0, 2)


async def test_what_is_done_is_in_the_audit_log(daemon: Daemon) -> None:
    """Who made, changed, rotated, removed, and where it delivers to; never a secret, and no query, which may contain one."""
    made = await make(daemon, url=f"{URL}?token=0123456789")
    one = f"{PATH}/{made['id']}"
    await daemon.client.patch(one, json={"enabled": False})
    await daemon.client.post(f"{one}/secret", json={})
    await daemon.client.delete(one)
    actions = [(entry.action, entry.target) for entry in daemon.world.audit]

    assert actions == [
        ("webhook_create", f"webhooks {URL}"),
        ("webhook_created", f"{made['id']} {URL}"),
        ("webhook_change", made["id"]),
        ("webhook_rotate_secret", made["id"]),
        ("webhook_delete", f"{made['id']} {URL}"),
    ]
