"""Metrics and probes."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from actors.daemon.metric_types import MAX_LABEL_SETS, Distribution, LabelledCount, Sample
from actors.daemon.metrics import Metrics
from actors.messages import CompanyState
from tests.http.routes.test_sessions import problem
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon


def values(exposition: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels to value, by Prometheus' own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }


def busy_metrics() -> Metrics:
    """Metrics with a value of each kind."""
    metrics = Metrics(CollectorRegistry())
    metrics.status_changed(COMPANY_A, CompanyState.CONNECTED)
    metrics.status_changed(COMPANY_B, CompanyState.RECONNECTING)
    metrics.message_sent(COMPANY_A, 0.2)
    metrics.message_sent(COMPANY_B)
    metrics.message_received(COMPANY_A)
    metrics.qr_generated(COMPANY_B)
    metrics.reconnect_attempted(COMPANY_B)
    metrics.reconnect_failed(COMPANY_B)
    metrics.error("send_timeout", COMPANY_A)
    metrics.error("storage_unavailable")
    metrics.committed(0.004, 12)
    return metrics


def test_totals_are_of_all_companies() -> None:
    """The last error is the newest one of any company."""
    totals = busy_metrics().totals()

    assert (totals.total_sessions, totals.active_connections) == (2, 1)
    assert (totals.messages_sent, totals.messages_received) == (2, 1)
    assert (totals.qr_codes_generated, totals.failed_reconnects, totals.errors) == (1, 1, 2)
    assert totals.last_error is not None
    assert (totals.last_error.code, totals.last_error.company_id) == ("storage_unavailable", None)


def test_totals_of_some_companies_hold_nothing_of_others() -> None:
    """Not even the daemon's own errors."""
    totals = busy_metrics().totals({COMPANY_A, "nobody"})

    assert (totals.total_sessions, totals.messages_sent, totals.qr_codes_generated, totals.errors) == (1, 1, 0, 1)
    assert totals.last_error is not None
    assert totals.last_error.code == "send_timeout"


def test_a_forgotten_company_leaves_the_sums_alone() -> None:
    """Counters never go back; the session is gone."""
    metrics = busy_metrics()
    metrics.company_forgotten(COMPANY_A)

    assert metrics.totals().total_sessions == 1
    assert metrics.totals().messages_sent == 2
    assert metrics.totals({COMPANY_A}).messages_sent == 0


def test_the_exposition_keeps_the_fixed_names() -> None:
    """Those that older dashboards read, and the new ones."""
    found = values(busy_metrics().exposition())

    assert found["whatsapp_sessions_total", ()] == 2
    assert found["whatsapp_active_connections", ()] == 1
    assert found["whatsapp_messages_sent_total", ()] == 2
    assert found["whatsapp_messages_received_total", ()] == 1
    assert found["whatsapp_reconnect_attempts", ()] == 1
    assert found["whatsapp_errors_total", (("code", "send_timeout"),)] == 1
    assert found["wasup_sessions", (("status", "connected"),)] == 1
    assert found["wasup_sessions", (("status", "banned"),)] == 0
    assert found["wasup_storage_commit_keys_bucket", (("le", "10.0"),)] == 0
    assert found["wasup_storage_commit_keys_bucket", (("le", "20.0"),)] == 1
    assert found["wasup_storage_commit_seconds_count", ()] == 1
    assert found["wasup_storage_commit_seconds_sum", ()] == pytest.approx(0.004)


def test_sources_are_asked_at_each_scrape() -> None:
    """A source of the same name replaces the one before."""
    metrics = Metrics(CollectorRegistry())
    metrics.set_source("pool", lambda: [Sample("wasup_pool_size", "…", 1)])
    metrics.set_source(
        "pool", lambda: [Sample("wasup_pool_size", "…", 2, {"db": "a"}), Sample("wasup_pool_size", "…", 3, {"db": "b"})]
    )

    found = values(metrics.exposition())

    assert found["wasup_pool_size", (("db", "a"),)] == 2
    assert found["wasup_pool_size", (("db", "b"),)] == 3
    assert ("wasup_pool_size", ()) not in found


def test_labels_cannot_grow_without_end() -> None:
    """Labels beyond the limit are counted together."""
    count = LabelledCount("x", "…", ["code"])
    for number in range(MAX_LABEL_SETS + 10):
        count.add(str(number))

    assert len(count.values) == MAX_LABEL_SETS + 1
    assert count.values["other",] == 10
    assert count.total == MAX_LABEL_SETS + 10


def test_a_value_on_a_bound_is_within_it() -> None:
    """As Prometheus' `le` says."""
    distribution = Distribution("x", "…", (1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 2.5):
        distribution.observe(value)

    assert distribution.counts == [1, 2, 1]


async def test_the_exposition_says_its_charset_once(daemon: Daemon) -> None:
    """A reader may refuse a parameter that is given twice."""
    for path in ("/metrics", "/api/whatsapp/metrics/prometheus"):
        answer = await daemon.client.get(path)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_as_json(daemon: Daemon) -> None:
    """All fields of the old form, for all companies or for the key's."""
    daemon.metrics.status_changed(COMPANY_A, CompanyState.CONNECTED)
    daemon.metrics.status_changed(COMPANY_B, CompanyState.CONNECTED)

    everything = (await daemon.client.get("/api/whatsapp/metrics")).json()
    async with daemon.client_with(A_KEY) as client:
        own = (await client.get("/api/whatsapp/metrics")).json()

    assert set(everything) == {
        "success", "totalSessions", "activeConnections", "failedReconnects", "messagesSent", "messagesReceived",
        "qrCodesGenerated", "errors", "lastError", "sessions", "timestamp",
    }  # fmt: skip
    assert everything["sessions"] == {"total": 2, "connected": 2, "disconnected": 0}
    assert own["sessions"] == {"total": 1, "connected": 1, "disconnected": 0}


@pytest.mark.parametrize("path", ["/metrics", "/api/whatsapp/metrics/prometheus"])
async def test_the_exposition_shows_actors_and_requests(daemon: Daemon, path: str) -> None:
    """Fixed actors by path, companies together; requests by route, not by path."""
    await daemon.client.get(f"/api/whatsapp/sessions/{COMPANY_A}/status")
    daemon.system.kill(f"/companies/{COMPANY_A}")

    answer = await daemon.client.get(path)
    found = values(answer.content)

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert found["wasup_actors", (("actor", "/companies/*"),)] == 2
    assert found["wasup_actor_restarts_total", (("actor", "/companies/*"),)] == 1
    assert found["wasup_mailbox_depth", (("actor", "/directory"),)] == 0
    route = "/api/whatsapp/sessions/{company_id}/status"
    assert found["wasup_http_requests_total", (("method", "GET"), ("route", route), ("status", "200"))] == 1
    assert found["wasup_http_open_connections", ()] == 1
    assert COMPANY_A not in answer.text


async def test_probes_have_no_details(daemon: Daemon) -> None:
    """Alive and ready; not ready is 503 with Retry-After, without the reason."""
    async with daemon.client_with(None) as client:
        assert (await client.get("/livez")).json() == {"success": True}
        assert (await client.get("/readyz")).json() == {"success": True}
        daemon.world.ready = False
        unready = await client.get("/readyz")
        alive = await client.get("/livez")

    assert problem(unready) == (503, "not_ready")
    assert unready.headers["retry-after"] == "5"
    assert "storage" not in unready.text
    assert alive.status_code == 200


async def test_without_a_health_actor_the_daemon_is_not_ready(daemon: Daemon) -> None:
    """A part that cannot be asked cannot have said yes."""
    await daemon.system.supervisor("/").terminate_child("health")

    assert problem(await daemon.client.get("/readyz")) == (503, "not_ready")


def test_what_is_kept_counts_as_memory_that_is_held() -> None:
    """Blocks grow with objects and shrink when they go, whatever memory the process keeps for later."""
    metrics = busy_metrics()
    before = values(metrics.exposition())["wasup_memory_blocks", ()]
    kept = [object() for _ in range(100_000)]
    with_them = values(metrics.exposition())["wasup_memory_blocks", ()]
    kept.clear()
    after = values(metrics.exposition())["wasup_memory_blocks", ()]

    assert with_them - before > 90_000
    assert with_them - after > 90_000
