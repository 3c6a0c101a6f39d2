"""The sessions of companies over HTTP."""

from __future__ import annotations

import hashlib

import httpx
import pytest
import trio

from actors import messages as m
from actors.daemon.metric_types import Sample
from actors.messages import CompanyState
from config.sections import HttpSettings
from tests.http.fakes import NOW, Company
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon, running, sample_world

SESSIONS = "/api/whatsapp/sessions"
A = f"{SESSIONS}/{COMPANY_A}"


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, whose form is checked too."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["success"] is False
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["code"]


async def test_the_list_shows_each_company_and_the_counters(daemon: Daemon) -> None:
    """Sessions in the order of their ids, and the counters."""
    daemon.metrics.status_changed(COMPANY_A, CompanyState.CONNECTED)
    daemon.metrics.message_sent(COMPANY_A)

    answer = await daemon.client.get(SESSIONS)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "count": 2,
        "sessions": [
            {"companyId": COMPANY_A, "connected": True, "status": "connected", "health": "healthy"},
            {"companyId": COMPANY_B, "connected": True, "status": "connected", "health": "healthy"},
        ],
        "next": None,
        "metrics": {"totalSessions": 2, "activeConnections": 1, "messagesSent": 1, "messagesReceived": 0},
    }


async def test_a_key_of_one_company_lists_only_that_one(daemon: Daemon) -> None:
    """Neither the other's session nor its counters are shown."""
    daemon.metrics.message_sent(COMPANY_B)
    async with daemon.client_with(A_KEY) as client:
        answer = (await client.get(SESSIONS)).json()

    assert [session["companyId"] for session in answer["sessions"]] == [COMPANY_A]
    assert answer["metrics"]["totalSessions"] == 1
    assert answer["metrics"]["messagesSent"] == 0


async def test_the_list_comes_in_pages() -> None:
    """`next` is the `after` of the following page; the pages together are the list."""
    world = sample_world()
    for number in range(5):
        world.companies[f"c{number}"] = Company(f"c{number}")
    seen: list[str] = []
    async with running(world) as daemon:
        after = ""
        while after is not None:
            page = (await daemon.client.get(SESSIONS, params={"limit": 3, "after": after})).json()
            assert page["count"] == 7
            seen += [session["companyId"] for session in page["sessions"]]
            after = page["next"]

    assert seen == sorted(world.companies)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=" + "9" * 5000, "after=" + "a" * 65])
async def test_a_bad_page_is_refused(daemon: Daemon, query: str) -> None:
    """The problem names the parameter."""
    answer = await daemon.client.get(f"{SESSIONS}?{query}")

    assert problem(answer) == (422, "invalid_request")
    assert answer.json()["detail"].startswith(query.split("=")[0])


async def test_initialize_offers_a_qr_code_in_three_forms(daemon: Daemon) -> None:
    """A new company is made on the way."""
    answer = await daemon.client.post(f"{SESSIONS}/new-one/initialize")

    told = answer.json()
    assert answer.status_code == 200
    assert told["success"] is True
    assert told["companyId"] == "new-one"
    assert told["qr"].startswith("2@")
    assert told["qrDataUrl"].startswith("data:image/png;base64,")
    assert "█" in told["qrTerminal"]
    assert told["expiresAt"] > NOW - 1e9
    assert "Linked devices" in told["message"]
    assert "new-one" in daemon.world.companies


async def test_initialize_offers_a_pairing_code(daemon: Daemon) -> None:
    """The actor gets the digits of the number."""
    body = {"method": "code", "phone": "8 900 000-00-01"}
    told = (await daemon.client.post(f"{SESSIONS}/new-one/initialize", json=body)).json()

    assert told["pairingCode"] == "ABCD1234"
    assert told["qr"] is None
    assert daemon.world.companies["new-one"].asked == [m.Initialize("code", "79000000001")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"method": "code"}, "invalid_request"),
        ({"method": "qr", "phone": "+79000000001"}, "invalid_request"),
        ({"method": "nfc"}, "invalid_request"),
        ({"method": "code", "phone": "12"}, "invalid_phone"),
        ({"method": "qr", "colour": "red"}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
async def test_a_bad_initialize_makes_no_company(daemon: Daemon, body: object, code: str) -> None:
    """A fault in the body is found before anything happens."""
    answer = await daemon.client.post(f"{SESSIONS}/new-one/initialize", json=body)

    assert problem(answer) == (422, code)
    assert "new-one" not in daemon.world.companies


async def test_a_linked_company_cannot_be_linked_again(daemon: Daemon) -> None:
    """The company's refusal becomes 409."""
    assert problem(await daemon.client.post(f"{A}/initialize")) == (409, "already_linked")


@pytest.mark.parametrize(
    ("accept", "media_type", "start"),
    [
        ("image/png", "image/png", b"\x89PNG"),
        ("image/svg+xml", "image/svg+xml", b"<"),
        ("*/*", "image/png", b"\x89PNG"),
    ],
)
async def test_the_qr_code_comes_as_asked(daemon: Daemon, accept: str, media_type: str, start: bytes) -> None:
    """PNG or SVG by Accept, PNG when both are accepted equally."""
    await daemon.client.post(f"{SESSIONS}/new-one/initialize")

    answer = await daemon.client.get(f"{SESSIONS}/new-one/qr", headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(start)


async def test_without_an_offer_there_is_no_qr_code(daemon: Daemon) -> None:
    """404 with a code of its own."""
    assert problem(await daemon.client.get(f"{A}/qr")) == (404, "no_qr")


async def test_a_qr_code_is_no_text(daemon: Daemon) -> None:
    """An Accept that allows neither picture is refused."""
    answer = await daemon.client.get(f"{A}/qr", headers={"Accept": "text/plain"})

    assert problem(answer) == (406, "not_acceptable")


async def test_status_tells_state_reason_and_evidence(daemon: Daemon) -> None:
    """camelCase, with ages."""
    told = (await daemon.client.get(f"{A}/status")).json()

    assert told["success"] is True
    assert told["companyId"] == COMPANY_A
    assert told["status"] == "connected"
    assert told["reason"] == "as the test wants it"
    assert told["reconnectAttempts"] == 0
    assert told["nextAttemptAt"] is None
    assert told["evidence"]["connectedAgeS"] == 1.0


@pytest.mark.parametrize(("healthy", "status"), [(True, 200), (False, 503)])
async def test_health_is_in_the_status_code(daemon: Daemon, healthy: bool, status: int) -> None:
    """200 or 503, and the checks either way."""
    daemon.world.companies[COMPANY_A].healthy = healthy

    answer = await daemon.client.get(f"{A}/health")

    assert answer.status_code == status
    assert answer.json()["healthy"] is healthy
    assert answer.json()["checks"] == {"connected": healthy}


async def test_stop_and_start_are_recorded(daemon: Daemon) -> None:
    """They survive a restart of the daemon and return the new status."""
    stopped = (await daemon.client.post(f"{A}/stop")).json()
    assert (stopped["status"], daemon.world.desired[COMPANY_A]) == ("stopped", "stopped")

    again = await daemon.client.post(f"{A}/stop")
    assert again.status_code == 200

    started = (await daemon.client.post(f"{A}/start")).json()
    assert (started["status"], daemon.world.desired[COMPANY_A]) == ("connected", "running")


async def test_restart_answers_the_new_status(daemon: Daemon) -> None:
    """The order goes to the company itself."""
    answer = await daemon.client.post(f"{A}/restart")

    assert answer.json()["status"] == "connected"
    assert daemon.world.companies[COMPANY_A].asked == [m.RestartSession()]


async def test_logout_is_harmless_when_repeated(daemon: Daemon) -> None:
    """The second one finds nothing linked and says so with 200."""
    first = await daemon.client.post(f"{A}/logout")
    second = await daemon.client.post(f"{A}/logout")

    assert first.json()["status"] == "unlinked"
    assert (second.status_code, second.json()["status"]) == (200, "unlinked")


async def test_delete_logs_out_and_forgets(daemon: Daemon) -> None:
    """Afterwards there is no such company."""
    answer = await daemon.client.delete(A)

    assert answer.json() == {"success": True, "companyId": COMPANY_A, "loggedOut": True, "erased": True}
    assert daemon.world.forgotten == daemon.world.erased == [COMPANY_A]
    assert problem(await daemon.client.get(f"{A}/status")) == (404, "no_such_company")


async def test_delete_says_when_not_all_is_erased_yet(daemon: Daemon) -> None:
    """Postgres goes away right after the record was removed: the company is gone, and the regular sweep erases the rest."""
    daemon.world.is_away_after_removal = True
    answer = await daemon.client.delete(A)

    assert answer.json() == {"success": True, "companyId": COMPANY_A, "loggedOut": True, "erased": False}
    assert daemon.world.forgotten == [COMPANY_A]


async def test_a_deleted_companys_key_is_asked_for_anew(daemon: Daemon) -> None:
    """It was cached a moment ago; from the DELETE on the database decides, and the key cannot make the company again."""
    async with daemon.client_with(A_KEY) as client:
        await client.get(f"{A}/status")
        daemon.world.keys.pop(hashlib.sha256(A_KEY.encode()).digest())
        await daemon.client.delete(A)
        again = await client.post(f"{A}/initialize", json={})

    assert problem(again) == (401, "unauthorized")
    assert COMPANY_A not in daemon.world.companies


async def test_delete_does_not_depend_on_whatsapp(daemon: Daemon) -> None:
    """A company whose logout fails is forgotten all the same, and the response says so."""

    async def fail(_: object) -> None:
        raise m.Refused("engine_unavailable", "no engine")

    daemon.world.companies[COMPANY_A].on_ask = fail

    answer = await daemon.client.delete(A)

    assert (answer.status_code, answer.json()["loggedOut"]) == (200, False)
    assert daemon.world.forgotten == [COMPANY_A]


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("POST", "/initialize"),
        ("POST", "/start"),
        ("POST", "/stop"),
        ("POST", "/restart"),
        ("POST", "/logout"),
        ("DELETE", ""),
    ],
)
async def test_orders_are_limited_per_company(daemon: Daemon, method: str, word: str) -> None:
    """One too many is 429 with the time to wait, changes nothing and is not in the audit log; the administrator still gets through."""
    company = daemon.world.companies[COMPANY_A]
    daemon.world.limit = 2
    async with daemon.client_with(A_KEY) as client:
        for _ in range(2):
            await client.post(f"{A}/stop")
        company.state = CompanyState.CONNECTED
        audited = len(daemon.world.audit)
        refused = await client.request(method, A + word)
        audited_since = len(daemon.world.audit) - audited
        state = company.state
    stopped = await daemon.client.post(f"{A}/stop")

    assert problem(refused) == (429, "rate_limited")
    assert (refused.headers["Retry-After"], refused.headers["RateLimit-Limit"]) == ("42", "2")
    assert (state, audited_since) == (CompanyState.CONNECTED, 0)
    assert stopped.status_code == 200


async def test_what_was_refused_for_its_form_is_no_order(daemon: Daemon) -> None:
    """A wrong body and an unknown company use no token."""
    daemon.world.limit = 1
    await daemon.client.post(f"{A}/initialize", json={"method": "smoke"})
    await daemon.client.post(f"{SESSIONS}/nobody/stop")

    assert (await daemon.client.post(f"{A}/stop")).status_code == 200


async def test_a_crash_in_a_company_is_told_as_a_passing_thing(daemon: Daemon) -> None:
    """503, retryable, without the exception's text; the next request finds the restarted actor."""

    async def crash(_: object) -> None:
        daemon.world.companies[COMPANY_A].on_ask = None
        raise ValueError("secret text")

    daemon.world.companies[COMPANY_A].on_ask = crash

    answer = await daemon.client.get(f"{A}/status")

    assert problem(answer) == (503, "restarting")
    assert answer.headers["retry-after"] == "1"
    assert "secret" not in answer.text
    assert (await daemon.client.get(f"{A}/status")).status_code == 200


async def test_storage_away_is_503_with_retry_after(daemon: Daemon) -> None:
    """A change that cannot be made durable is refused."""
    await daemon.client.get(f"{A}/status")
    daemon.world.storage_is_away = True

    answer = await daemon.client.post(f"{A}/stop")

    assert problem(answer) == (503, "storage_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert daemon.world.companies[COMPANY_A].state is CompanyState.CONNECTED


@pytest.mark.parametrize("company_id", ["a" * 65, "a.b", "a%20b", "%00", "a%0d%0ab", "é", "..", "a%2e"])
async def test_a_company_id_that_can_be_none_is_refused(daemon: Daemon, company_id: str) -> None:
    """1 to 64 of letters, digits, _ and -."""
    answer = await daemon.client.post(f"{SESSIONS}/{company_id}/initialize")

    assert problem(answer) in {(422, "invalid_company_id"), (404, "not_found")}
    assert set(daemon.world.companies) == {COMPANY_A, COMPANY_B}


async def test_an_unexpected_failure_is_500_without_details(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """The log says where, and neither contains the exception's text."""

    def fail() -> list[Sample]:
        raise ValueError("secret text")

    daemon.metrics.set_source("broken", fail)

    answer = await daemon.client.get("/metrics")
    logged = capsys.readouterr().out

    assert problem(answer) == (500, "internal_error")
    assert "secret" not in answer.text + logged
    assert "error=ValueError" in logged
    assert "test_sessions.py" in logged


async def test_a_request_that_takes_too_long_is_504() -> None:
    """Whatever the deadlines of its parts add up to."""
    world = sample_world()

    async def hang(_: object) -> None:
        await trio.sleep_forever()

    world.companies[COMPANY_A].on_ask = hang
    async with running(world, HttpSettings(request_timeout_s=0.2)) as daemon:
        answer = await daemon.client.get(f"{A}/status")
        world.companies[COMPANY_A].on_ask = None
        daemon.system.kill(f"/companies/{COMPANY_A}")

    assert problem(answer) == (504, "timeout")
    assert answer.json()["retryable"] is True
