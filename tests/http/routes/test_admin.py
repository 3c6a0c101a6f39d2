"""The actor tree over HTTP: shown and acted on."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from actors import messages as m
from actors.http.access.audit import (
    COUNT_FOR_S,
    LAST_WORDS_S,
    MAX_COUNTED,
    MAX_WAITING,
    RETRY_S,
    AuditEntry,
    AuditTrail,
)
from storage.errors import StorageUnavailable
from tests.http.routes.test_sessions import problem
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon, until
from tests.support.bars import patience

A = f"/companies/{COMPANY_A}"


def find(actor: dict[str, Any], path: str) -> dict[str, Any]:
    """The actor at ``path`` in a tree."""
    if actor["path"] == path:
        return actor
    return next(find(child, path) for child in actor["children"] if path.startswith(child["path"]))


async def test_the_tree_shows_every_actor(daemon: Daemon) -> None:
    """With the names of messages and none of their contents."""
    await daemon.client.post(
        f"/api/whatsapp/sessions/{COMPANY_A}/send", json={"phone": "+79000000002", "message": "private text"}
    )

    answer = await daemon.client.get("/admin/tree")

    tree = answer.json()["tree"]
    assert answer.json()["success"] is True
    assert [child["path"] for child in tree["children"]] == [
        "/events", "/limiter", "/companies", "/directory", "/health", "/http",
    ]  # fmt: skip
    company = find(tree, A)
    assert (company["state"], company["kind"], company["restarts"]) == ("running", "actor", 0)
    assert company["recentMessages"] == ["WaitConnected", "SendText"]
    assert company["processed"] == 2
    assert company["mailboxDepth"] == 0
    assert "private text" not in answer.text


async def test_one_actor_shows_its_last_crash(daemon: Daemon) -> None:
    """Type, text, the message being handled, and here the traceback too; the tree leaves it out."""

    async def crash(_: object) -> None:
        daemon.world.companies[COMPANY_A].on_ask = None
        raise ValueError("as the test wants it")

    daemon.world.companies[COMPANY_A].on_ask = crash
    await daemon.client.get(f"/api/whatsapp/sessions/{COMPANY_A}/status")
    await until(lambda: daemon.system.snapshot(A).state == "running")

    actor = (await daemon.client.get(f"/admin/actors{A}")).json()["actor"]
    in_tree = find((await daemon.client.get("/admin/tree")).json()["tree"], A)

    assert actor["restarts"] == 1
    assert actor["lastCrash"]["type"] == "ValueError"
    assert actor["lastCrash"]["messageType"] == "GetStatus"
    assert "crash" in actor["lastCrash"]["traceback"]
    assert in_tree["lastCrash"]["traceback"] is None


async def test_the_root_is_an_actor_too(daemon: Daemon) -> None:
    """With everything below it."""
    actor = (await daemon.client.get("/admin/actors")).json()["actor"]

    assert (actor["path"], actor["kind"], len(actor["children"])) == ("/", "supervisor", 6)


@pytest.mark.parametrize(
    "path", ["/nobody", "/companies/nobody", "/a%20b", "/..", "/companies/%00", "/" + "a" * 65, "/a" * 17]
)
async def test_what_is_not_in_the_tree_is_404(daemon: Daemon, path: str) -> None:
    """To show it or to act on it; nothing is written to the audit log."""
    assert problem(await daemon.client.get(f"/admin/actors{path}"))[0] == 404
    assert problem(await daemon.client.post(f"/admin/actors{path}/kill"))[0] == 404
    assert daemon.world.audit == []


async def test_an_unknown_action_is_404(daemon: Daemon) -> None:
    """The problem lists the known ones."""
    answer = await daemon.client.post(f"/admin/actors{A}/promote")

    assert problem(answer) == (404, "not_found")
    assert "kill, restart, suspend, resume" in answer.json()["detail"]


async def test_a_killed_company_is_back_and_others_never_noticed(daemon: Daemon) -> None:
    """The tree shows the restart and why."""
    answer = await daemon.client.post(f"/admin/actors{A}/kill")
    await until(lambda: daemon.system.snapshot(A).state == "running")

    actor = (await daemon.client.get(f"/admin/actors{A}")).json()["actor"]
    assert answer.status_code == 200
    assert (actor["restarts"], actor["lastCrash"]["type"]) == (1, "Killed")
    assert daemon.system.snapshot(f"/companies/{COMPANY_B}").restarts == 0
    status = await daemon.client.get(f"/api/whatsapp/sessions/{COMPANY_A}/status")
    assert status.status_code == 200


async def test_a_restart_is_not_held_against_an_actor(daemon: Daemon) -> None:
    """A new incarnation without a crash."""
    answer = await daemon.client.post("/admin/actors/limiter/restart")

    assert answer.json()["actor"]["state"] == "running"
    assert answer.json()["actor"]["lastCrash"] is None


async def test_a_suspended_actor_waits_until_it_is_resumed(daemon: Daemon) -> None:
    """Its mailbox fills; no message is lost."""
    suspended = await daemon.client.post(f"/admin/actors{A}/suspend")
    daemon.system.ref(A).tell(m.RestartSession())
    depth = (await daemon.client.get(f"/admin/actors{A}")).json()["actor"]["mailboxDepth"]
    resumed = await daemon.client.post(f"/admin/actors{A}/resume")
    await until(lambda: daemon.world.companies[COMPANY_A].asked == [m.RestartSession()])

    assert suspended.json()["actor"]["state"] == "suspended"
    assert depth == 1
    assert resumed.json()["actor"]["state"] == "running"


@pytest.mark.parametrize("action", ["kill", "restart"])
async def test_the_http_actor_answers_before_it_goes(daemon: Daemon, action: str) -> None:
    """Then it is back, on a socket of its own."""
    answer = await daemon.client.post(f"/admin/actors/http/{action}")
    await until(lambda: daemon.system.snapshot("/http").incarnation == 2)
    _, daemon.port = await daemon.system.ref("/http").ask(m.GetHttpAddress())

    assert answer.status_code == 200
    async with daemon.client_with(None) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_each_action_is_audited(daemon: Daemon) -> None:
    """Who, what, which actor, from where."""
    for action in ("suspend", "resume", "kill"):
        await daemon.client.post(f"/admin/actors{A}/{action}")
    await until(lambda: len(daemon.world.audit) == 3)

    assert [(e.key_id, e.action, e.target, e.address) for e in daemon.world.audit] == [
        ("admin000", action, A, "127.0.0.1") for action in ("suspend", "resume", "kill")
    ]


def entry(store: list[AuditEntry]) -> list[str]:
    """The targets, in order."""
    return [one.target for one in store]


class FailingStore:
    """Fails as often as set, then keeps."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.kept: list[AuditEntry] = []
        self.kept_at: list[float] = []

    async def append(self, entry: AuditEntry) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("as the test wants it")
        self.kept.append(entry)
        self.kept_at.append(trio.current_time())


async def test_audit_entries_wait_for_the_database(autojump_clock: trio.testing.MockClock) -> None:
    """They are written in order once it is back, two seconds between tries."""
    store = FailingStore(3)
    trail = AuditTrail(store)
    for number in range(3):
        trail.record(key_id="k", action="kill", target=f"/{number}", address="x")
    began = trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trail.run)
        await trio.sleep(10 * RETRY_S)
        nursery.cancel_scope.cancel()

    assert entry(store.kept) == ["/0", "/1", "/2"]
    assert [at - began for at in store.kept_at] == [3 * RETRY_S] * 3


async def test_audit_entries_do_not_fill_the_memory(autojump_clock: trio.testing.MockClock) -> None:
    """The oldest are dropped from memory (the log has them)."""
    store = FailingStore(0)
    trail = AuditTrail(store)
    for number in range(MAX_WAITING + 5):
        trail.record(key_id="k", action="kill", target=f"/{number}", address="x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trail.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert entry(store.kept) == [f"/{number}" for number in range(5, MAX_WAITING + 5)]


async def test_like_failures_become_one_record(autojump_clock: trio.testing.MockClock) -> None:
    """With their number, after a while; failures of other kinds have records of their own."""
    store = FailingStore(0)
    trail = AuditTrail(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trail.run)
        for _ in range(1000):
            trail.count(key_id="unknown", action="auth_limited", target="api", address="192.0.2.7")
        trail.count(key_id="unknown", action="auth_failed", target="api", address="192.0.2.7")
        await trio.sleep(COUNT_FOR_S + 1)
        trail.count(key_id="unknown", action="auth_failed", target="api", address="192.0.2.7")
        await trio.sleep(COUNT_FOR_S + 1)
        nursery.cancel_scope.cancel()

    assert [(one.action, one.count) for one in store.kept] == [
        ("auth_limited", 1000),
        ("auth_failed", 1),
        ("auth_failed", 1),
    ]


async def test_failures_of_too_many_kinds_are_counted_together(autojump_clock: trio.testing.MockClock) -> None:
    """None is lost, and the memory is bounded."""
    store = FailingStore(0)
    trail = AuditTrail(store)
    for number in range(MAX_COUNTED + 50):
        trail.count(
            key_id="unknown", action="auth_failed", target="api", address=f"10.0.{number // 256}.{number % 256}"
        )
    trail._collect()

    assert sum(one.count for one in trail._waiting.values()) == MAX_COUNTED + 50
    assert next(reversed(trail._waiting.values())).address == "many"


async def test_what_waits_is_written_at_the_end(autojump_clock: trio.testing.MockClock) -> None:
    """Failures too; when the database is away the actor still ends."""
    for failures, kept in ((0, 2), (100, 0)):
        store = FailingStore(failures)
        trail = AuditTrail(store)
        trail.record(key_id="k", action="kill", target="/", address="x")
        trail.count(key_id="unknown", action="auth_failed", target="api", address="x")
        began = trio.current_time()
        await trail.finish()
        assert len(store.kept) == kept
        assert trio.current_time() - began <= patience(LAST_WORDS_S)


@pytest.mark.parametrize("action", ["initialize", "start", "stop", "restart", "logout"])
async def test_what_is_done_to_a_session_is_in_the_audit_log(daemon: Daemon, action: str) -> None:
    """Who, what, to whom; before it happens."""
    await daemon.client.post(f"/api/whatsapp/sessions/{COMPANY_A}/{action}")
    await until(lambda: len(daemon.world.audit) == 1)

    record = daemon.world.audit[0]
    assert (record.key_id, record.action, record.target) == ("admin000", action, COMPANY_A)


async def test_a_forgotten_company_is_in_the_audit_log(daemon: Daemon) -> None:
    """A request for one that does not exist is not."""
    await daemon.client.delete("/api/whatsapp/sessions/nobody")
    await daemon.client.delete(f"/api/whatsapp/sessions/{COMPANY_A}")
    await until(lambda: len(daemon.world.audit) == 1)

    assert (daemon.world.audit[0].action, daemon.world.audit[0].target) == ("forget", COMPANY_A)


# --- the audit log ---


async def test_the_audit_log_is_read_in_pages(daemon: Daemon) -> None:
    """Newest first, each record once, and the last page says that it is the last."""
    for word in ("suspend", "resume", "kill"):
        assert (await daemon.client.post(f"/admin/actors{A}/{word}")).is_success
    await until(lambda: len(daemon.world.audit) == 3)

    first = (await daemon.client.get("/admin/audit?limit=2")).json()
    last = (await daemon.client.get("/admin/audit", params={"limit": 2, "before": first["next"]})).json()

    assert [record["action"] for record in first["records"]] == ["kill", "resume"]
    assert [record["action"] for record in last["records"]] == ["suspend"]
    assert (first["next"], last["next"]) == (first["records"][-1]["id"], None)
    assert {name: last["records"][0][name] for name in ("keyId", "target", "address", "count")} == {
        "keyId": "admin000",
        "target": A,
        "address": "127.0.0.1",
        "count": 1,
    }


@pytest.mark.parametrize("query", ["before=0", "before=x", "limit=0", "limit=1001", "before=9007199254740992"])
async def test_pages_of_the_audit_log_that_there_cannot_be(daemon: Daemon, query: str) -> None:
    """Each gets a problem that says what is wrong with it."""
    assert problem(await daemon.client.get(f"/admin/audit?{query}")) == (422, "invalid_request")


async def test_the_audit_log_is_for_operators(daemon: Daemon) -> None:
    """A company's key sees nothing of it; a database that is away is said to be."""
    async with daemon.client_with(A_KEY) as client:
        refused = await client.get("/admin/audit")
    daemon.world.storage_is_away = True

    assert problem(refused) == (403, "access_denied")
    assert problem(await daemon.client.get("/admin/audit")) == (503, "storage_unavailable")
