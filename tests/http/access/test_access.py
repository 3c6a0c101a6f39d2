"""Every route with every kind of key: no key, a wrong one, one for another company, one without admin scope."""

from __future__ import annotations

import inspect
import re

import httpx
import pytest
from litestar.routes import HTTPRoute

from actors.http.access import guards as module
from actors.http.transport.head_requests import methods_of
from config.sections import HttpSettings
from tests.http.raw import WebSocketRefused, subscribed
from tests.http.routes.test_sessions import problem
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon, app_for, running, sample_world

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BODIES = {"send": {"phone": "+79000000002", "message": "x"}}
UNKNOWN = "962399"
AUDITED = ("auth_failed", "auth_limited")


ROUTES = [
    (route.path, methods_of(app_for(HttpSettings()))[route.path_format])
    for route in sorted(app_for(HttpSettings()).routes, key=lambda route: route.path)
    if isinstance(route, HTTPRoute)
]
"""Path templates and their verbs, from the application's own table."""
OPEN = {"/livez", "/readyz", "/", "/docs", "/docs/errors", "/docs/openapi.json"} | {
    path for path, _ in ROUTES if path.startswith("/static/")
}
"""Probes and pages."""
COMPANY_ROUTES = [path for path, _ in ROUTES if "{company_id" in path]


def _path(template: str, company_id: str = COMPANY_A) -> str:
    path = re.sub(r"\{company_id:str\}", company_id, template)
    return re.sub(r"/\{target:path\}", "/limiter/resume", path)


async def _call(client: httpx.AsyncClient, verb: str, path: str) -> tuple[int, bytes, dict[str, str]]:
    answer = await client.request(verb, path, json=BODIES.get(path.rpartition("/")[2]) if verb == "POST" else None)
    # A request that is refused before its body has arrived closes the connection, or not, by when the body comes.
    headers = {k: v for k, v in answer.headers.items() if k not in {"date", "x-request-id", "connection"}}
    return answer.status_code, answer.content, headers


def test_the_route_table_is_what_is_tested() -> None:
    """The generated cases cover what the specification lists."""
    assert {template for template, _ in ROUTES} >= {"/api/whatsapp/sessions", "/admin/tree", "/metrics"} | OPEN
    assert len(COMPANY_ROUTES) == 20


@pytest.mark.parametrize("template", COMPANY_ROUTES)
async def test_x1_a_foreign_company_is_denied_alike_whether_it_exists_or_not(template: str) -> None:
    """Every verb: status, headers and body are the same byte for byte, and nothing happens to the company."""
    verbs = next(methods for path, methods in ROUTES if path == template)
    async with running() as daemon, daemon.client_with(A_KEY) as client:
        for verb in VERBS:
            existing = await _call(client, verb, _path(template, COMPANY_B))
            missing = await _call(client, verb, _path(template, UNKNOWN))
            malformed = await _call(client, verb, _path(template, "a" * 65))

            assert existing == missing == malformed
            assert existing[0] == (403 if verb in verbs else 405)
            if verb in verbs:
                assert b'"code":"access_denied"' in existing[1] or verb == "HEAD"
                assert COMPANY_B.encode() not in existing[1]
        assert daemon.world.companies[COMPANY_B].asked == []
        assert UNKNOWN not in daemon.world.companies
    print(f"X1: {template}: {len(VERBS)} verbs, existing, missing and malformed alike byte for byte")


@pytest.mark.parametrize("template", [path for path, _ in ROUTES if path not in OPEN])
async def test_without_a_valid_key_nothing_answers(template: str) -> None:
    """Every verb of every route but the open ones: 401 with the scheme to use, before anything else is checked."""
    verbs = next(methods for path, methods in ROUTES if path == template)
    world = sample_world()
    async with running(world) as daemon:
        for key in (None, "wasup_wrong_0123456789abcdefghijklmnop"):
            async with daemon.client_with(key) as client:
                for verb in verbs:
                    status, body, headers = await _call(client, verb, _path(template))
                    assert status == 401, (verb, body)
                    assert headers["www-authenticate"].startswith("Bearer")
                    assert b'"code":"unauthorized"' in body or verb == "HEAD"
        assert world.companies[COMPANY_A].asked == []


@pytest.mark.parametrize("template", sorted(OPEN))
async def test_the_open_routes_need_no_key(daemon: Daemon, template: str) -> None:
    """Probes and pages."""
    async with daemon.client_with(None) as client:
        assert (await client.get(template)).status_code == 200


@pytest.mark.parametrize("template", [path for path, _ in ROUTES if path.startswith(("/admin", "/metrics"))])
async def test_administration_needs_the_admin_scope(template: str) -> None:
    """A company's key is denied, and nothing happens."""
    verbs = next(methods for path, methods in ROUTES if path == template)
    async with running() as daemon, daemon.client_with(A_KEY) as client:
        for verb in verbs:
            status, body, _ = await _call(client, verb, _path(template))
            assert (status, b'"code":"access_denied"' in body or verb == "HEAD") == (403, True)
        assert [entry for entry in daemon.world.audit if entry.action != "access_denied"] == []


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api", "/api/whatsapp/sessions/962302/nowhere", "/docs/nowhere", "/static/../app.js"]
)
async def test_what_is_not_there_is_a_problem(daemon: Daemon, path: str) -> None:
    """404 in the one shape, for every key."""
    for key in (None, A_KEY):
        async with daemon.client_with(key) as client:
            answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("template", [path for path, _ in ROUTES])
async def test_a_wrong_verb_is_a_problem(template: str) -> None:
    """405 with Allow, in the one shape."""
    verbs = next(methods for path, methods in ROUTES if path == template)
    async with running() as daemon:
        for verb in set(VERBS) - verbs:
            answer = await daemon.client.request(verb, _path(template))
            assert answer.status_code == 405
            assert verb == "HEAD" or answer.json()["code"] == "method_not_allowed"
            assert set(answer.headers["allow"].split(", ")) == verbs


@pytest.mark.parametrize("template", [path for path, _ in ROUTES])
async def test_options_names_the_verbs(template: str) -> None:
    """204 with Allow, for every principal that may use the route."""
    verbs = next(methods for path, methods in ROUTES if path == template)
    async with running() as daemon:
        answer = await daemon.client.options(_path(template))

    assert (answer.status_code, answer.content) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == verbs


@pytest.mark.parametrize("template", [path for path, verbs in ROUTES if "GET" in verbs])
async def test_head_is_get_without_a_body(template: str) -> None:
    """The same status and headers, and nothing more."""
    async with running() as daemon:
        got = await daemon.client.get(_path(template))
        head = await daemon.client.head(_path(template))

    assert (head.status_code, head.content) == (got.status_code, b"")
    varying = {"date", "x-request-id", "content-length"}  # a length may hold a time or a counter
    assert set(head.headers) == set(got.headers)
    assert {n: v for n, v in head.headers.items() if n not in varying} == {
        n: v for n, v in got.headers.items() if n not in varying
    }


async def test_a_preflight_is_not_answered_with_a_permission(daemon: Daemon) -> None:
    """No other site's page may use the API."""
    headers = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    answer = await daemon.client.request("OPTIONS", f"/api/whatsapp/sessions/{COMPANY_A}/send", headers=headers)

    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_every_answer_carries_the_safe_headers(daemon: Daemon) -> None:
    """Also problems; no cache stores API responses."""
    for path in ("/api/whatsapp/sessions", "/nowhere", "/livez", "/"):
        headers = (await daemon.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
        assert "server" not in headers


async def test_x11_guessing_is_limited_and_a_good_key_goes_on() -> None:
    """429 with Retry-After after the limit; right keys from the same address pass, the one that was in use and one that was never seen
    before; the audit log has each try."""
    async with running(http=HttpSettings(auth_failures_per_minute=20)) as daemon:
        await daemon.client.get("/api/whatsapp/sessions")
        good: list[int] = []
        async with daemon.client_with(None) as client, daemon.client_with(A_KEY) as unseen:
            codes: list[int] = []
            for number in range(1000):
                answer = await client.get("/api/whatsapp/sessions", headers={"X-Api-Key": f"{number:020}"})
                codes.append(answer.status_code)
                if number % 50 == 0:
                    good.append((await daemon.client.get("/api/whatsapp/sessions")).status_code)
            good.append((await unseen.get("/api/whatsapp/sessions")).status_code)
        counted = daemon.metrics.exposition()
        await daemon.system.restart("/http")
        tried = {action: sum(e.count for e in daemon.world.audit if e.action == action) for action in AUDITED}

    print(f"X11: of 1,000 wrong keys {codes.count(401)} were answered 401 and {codes.count(429)} 429; audited: {tried}")
    assert codes == [401] * 20 + [429] * 980
    assert set(good) == {200}
    assert b'wasup_auth_failures_total{reason="wrong"} 20.0' in counted
    assert b'wasup_auth_failures_total{reason="limited"} 980.0' in counted
    assert tried == {"auth_failed": 20, "auth_limited": 980}


async def test_a_file_whose_row_was_changed_is_in_the_audit_log() -> None:
    """The database was changed behind the daemon: an operator wants to hear of it, however often it is asked for."""
    async with running() as daemon:
        daemon.world.media_is_unreadable = True
        url = f"/api/whatsapp/sessions/{COMPANY_A}/media/0a1b"
        answers = [await daemon.client.get(url) for _ in range(3)]
        await daemon.system.restart("/http")
        found = {(e.key_id, e.action, e.target, e.count) for e in daemon.world.audit}

    assert [problem(answer) for answer in answers] == [(500, "media_unreadable")] * 3
    assert found == {("admin000", "media_unreadable", COMPANY_A, 3)}


async def test_what_a_key_was_denied_is_in_the_audit_log() -> None:
    """A foreign company over HTTP and over WebSocket, and the administration: whose key, which route, how often."""
    async with running() as daemon:
        async with daemon.client_with(A_KEY) as client:
            for _ in range(3):
                await client.get(f"/api/whatsapp/sessions/{COMPANY_B}/status")
            await client.get("/admin/tree")
        with pytest.raises(WebSocketRefused):
            async with subscribed(daemon, f"?companyId={COMPANY_B}", key=A_KEY):
                pass
        await daemon.system.restart("/http")
        found = {(e.key_id, e.action, e.target, e.count) for e in daemon.world.audit}

    assert found == {
        ("aaaaaaaa", "access_denied", "/api/whatsapp/sessions/{company_id}/status", 3),
        ("aaaaaaaa", "access_denied", "/admin/tree", 1),
        ("aaaaaaaa", "access_denied", "events", 1),
    }


def test_no_guard_takes_a_worker_thread() -> None:
    """The framework calls a guard that is no coroutine function on a thread of its own, at each request."""
    guards = {name: guard for name, guard in vars(module).items() if name.startswith("needs_")}

    assert len(guards) == 3
    assert [name for name, guard in guards.items() if not inspect.iscoroutinefunction(guard)] == []
