"""What the daemon counts. Each daemon has one `Metrics`; actors call its methods, and HTTP serves it.

Counting is a plain addition on the loop's thread: it never waits and never fails. Figures of other parts (the actor tree, the database
pool, engine processes) are not copied here but asked for at each scrape, through a source.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Final, final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.daemon.metric_types import SECONDS, SIZES, Distribution, LabelledCount, Sample, families
from actors.messages import Answer, CompanyState, Counted

Source = Callable[[], Iterable[Sample]]
Remarks = Callable[[], Mapping[str, str]]
"""Remarks of running actors on their work, like ``suspended``, by path."""

VERSION: Final = metadata.version("wasup")
RATE_LIMIT_BACKENDS: Final = ("memory", "redis")


class LastError(msgspec.Struct, frozen=True, rename="camel"):
    """The most recent error: its stable code, never its text."""

    code: str
    company_id: str | None
    timestamp: float


class SessionCounts(msgspec.Struct, frozen=True):
    """Companies by whether they are connected."""

    total: int
    connected: int
    disconnected: int


class Totals(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The metrics as JSON."""

    total_sessions: int
    active_connections: int
    failed_reconnects: int
    messages_sent: int
    messages_received: int
    qr_codes_generated: int
    errors: int
    last_error: LastError | None
    sessions: SessionCounts
    timestamp: float
    """Unix seconds."""


class EngineFigures(Answer, frozen=True, kw_only=True):
    """What an engine process last reported of itself."""

    engine: str
    """Its name in the tree, like ``engine-0``."""
    pid: int
    companies: int
    rss_bytes: int
    threads: int
    descriptors: int
    stale_clients: int


@dataclass(slots=True)
class CompanyCounts:
    """The counters of one company since the daemon started."""

    sent: int = 0
    received: int = 0
    qr_codes: int = 0
    reconnect_attempts: int = 0
    failed_reconnects: int = 0
    errors: int = 0
    last_error: LastError | None = None


@final
class Metrics(Collector):
    """Counters, and the sources of gauges, of one daemon. ``registry`` is what `exposition` renders; nothing global is touched."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.started_at = time.time()
        """Unix seconds."""
        self.rate_limit_backend = "memory"
        """Where the rate limit is counted now: one of `RATE_LIMIT_BACKENDS`."""
        self.rate_limit = (0, 0.0)
        """How many messages a company may send, within how many seconds."""
        self._all = CompanyCounts()
        self._companies: dict[str, CompanyCounts] = {}
        self._states: dict[str, CompanyState] = {}
        self._sources: dict[str, Source] = {}
        self._remarks: dict[str, Remarks] = {}
        self._engines: dict[str, EngineFigures] = {}
        self._errors = LabelledCount("whatsapp_errors", "Errors by stable code", ["code"])
        self._transitions = LabelledCount("wasup_status_transitions", "Entries into each state", ["status"])
        self._requests = LabelledCount("wasup_http_requests", "Requests answered", ["method", "route", "status"])
        self._connections = LabelledCount("wasup_http_connections", "Connections by what became of them", ["outcome"])
        self._events_dropped = LabelledCount("wasup_events_dropped", "Events lost because too many waited", [])
        self._leases_lost = LabelledCount("wasup_leases_lost", "Leases that ended here against our will", ["why"])
        self._engine_lines_lost = LabelledCount("wasup_engine_log_lines_lost", "Log lines engines could not print", [])
        self._rate_limited = LabelledCount("wasup_rate_limited", "Sends refused by the rate limit", ["backend"])
        self._lookups_limited = LabelledCount("wasup_lookups_limited", "Look-ups refused by their limit", ["backend"])
        self._orders_limited = LabelledCount("wasup_orders_limited", "Orders refused by their limit", ["backend"])
        self._fell_back = LabelledCount("wasup_rate_limit_fallbacks", "Times Redis went away and memory counted on", [])
        self._dropped = LabelledCount("wasup_events_subscribers_dropped", "Live subscribers closed by us", ["reason"])
        self._auth_failures = LabelledCount("wasup_auth_failures", "Requests refused for their key", ["reason"])
        self._request_s = Distribution("wasup_http_request_seconds", "Time to answer a request", SECONDS)
        self._commit_s = Distribution("wasup_storage_commit_seconds", "Time of a group commit", SECONDS)
        self._commit_keys = Distribution("wasup_storage_commit_keys", "Keys in a group commit", SIZES)
        self._deliveries = LabelledCount("wasup_webhook_deliveries", "Attempts to deliver an event", ["outcome"])
        self._delivery_failures = LabelledCount("wasup_webhook_failures", "Attempts that failed", ["reason"])
        self._dead_letters = LabelledCount("wasup_webhook_dead_letters", "Events put among the dead letters", [])
        self._delivery_s = Distribution("wasup_webhook_delivery_seconds", "Time of an attempt to deliver", SECONDS)
        self._send_s = Distribution("wasup_send_seconds", "From a send's request to its acknowledgement", SECONDS)
        self._begin_at_zero()
        registry.register(self)

    def _begin_at_zero(self) -> None:
        """Expose counters at 0 from the start: Prometheus' `increase` does not see the first count of a counter that was not there."""
        for count, labels in (
            (self._leases_lost, ("elsewhere", "expired")),
            (self._rate_limited, RATE_LIMIT_BACKENDS),
            (self._lookups_limited, RATE_LIMIT_BACKENDS),
            (self._orders_limited, RATE_LIMIT_BACKENDS),
            (self._auth_failures, ("missing", "wrong", "limited")),
            (self._connections, ("accepted", "refused", "cut", "crashed")),
            (self._transitions, CompanyState),
            (self._errors, ("send_timeout", "engine_unavailable", "storage_unavailable", "storage_full")),
            (self._dropped, ("slow_consumer", "not_reading", "restarting", "key_revoked")),
            (self._deliveries, ("delivered", "failed")),
        ):
            for label in labels:
                count.add(label, by=0)
        for count in (self._events_dropped, self._fell_back, self._dead_letters, self._engine_lines_lost):
            count.add(by=0)

    # --- what actors report -------------------------------------------------------------------------------------------

    def message_sent(self, company_id: str, seconds: float | None = None) -> None:
        """WhatsApp acknowledged a message; ``seconds`` it took, when known."""
        self._all.sent += 1
        self._of(company_id).sent += 1
        if seconds is not None:
            self._send_s.observe(seconds)

    def message_received(self, company_id: str) -> None:
        """A message arrived."""
        self._all.received += 1
        self._of(company_id).received += 1

    def qr_generated(self, company_id: str) -> None:
        """A QR code was put on offer."""
        self._all.qr_codes += 1
        self._of(company_id).qr_codes += 1

    def reconnect_attempted(self, company_id: str) -> None:
        """A company tries to connect again."""
        self._all.reconnect_attempts += 1
        self._of(company_id).reconnect_attempts += 1

    def reconnect_failed(self, company_id: str) -> None:
        """An attempt to connect again did not succeed."""
        self._all.failed_reconnects += 1
        self._of(company_id).failed_reconnects += 1

    def error(self, code: str, company_id: str | None = None) -> None:
        """An error occurred; ``code`` is a stable word from a fixed set, never text from outside."""
        self._errors.add(code)
        last = LastError(code=code, company_id=company_id, timestamp=time.time())
        for counts in (self._all,) if company_id is None else (self._all, self._of(company_id)):
            counts.errors += 1
            counts.last_error = last

    def status_changed(self, company_id: str, status: CompanyState) -> None:
        """A company entered this state; from now on it counts as a session."""
        if self._states.get(company_id) is not status:
            self._transitions.add(status.value)
        self._states[company_id] = status

    def company_forgotten(self, company_id: str) -> None:
        """The company was removed. Its counters go with it, the totals stay."""
        self._states.pop(company_id, None)
        self._companies.pop(company_id, None)

    def committed(self, seconds: float, keys: int) -> None:
        """A group commit of auth state succeeded."""
        self._commit_s.observe(seconds)
        self._commit_keys.observe(keys)

    def engine_reported(self, figures: EngineFigures) -> None:
        """An engine process reported its figures."""
        self._engines[figures.engine] = figures

    def engine_gone(self, engine: str) -> None:
        """That process has ended."""
        self._engines.pop(engine, None)

    def events_dropped(self, count: int) -> None:
        """``count`` events were not stored, because too many waited."""
        self._events_dropped.add(by=count)

    def leases_lost(self, why: str, count: int) -> None:
        """``count`` leases were lost. ``why``: `elsewhere`, another daemon took them; `expired`, they could not be renewed."""
        self._leases_lost.add(why, by=count)

    def engine_lines_lost(self, lines: int) -> None:
        """An engine process lost ``lines`` lines of its log, because the daemon did not read them in time."""
        self._engine_lines_lost.add(by=lines)

    def state_of(self, company_id: str) -> CompanyState | None:
        """Return the state that the company entered last; None for a company that is not known here."""
        return self._states.get(company_id)

    def rate_limit_is(self, limit: int, window_s: float) -> None:
        """From now on a company may send ``limit`` messages within ``window_s`` seconds."""
        self.rate_limit = (limit, window_s)

    def rate_limited(self, of: Counted) -> None:
        """A limit refused a send, a look-up or an order."""
        counts = {"messages": self._rate_limited, "lookups": self._lookups_limited}
        counts.get(of, self._orders_limited).add(self.rate_limit_backend)

    def rate_limit_fell_back(self) -> None:
        """Redis went away: from now on the rate limit is counted in memory."""
        self._fell_back.add()

    def webhook_tried(self, seconds: float, reason: str | None) -> None:
        """An attempt to deliver an event took ``seconds``. ``reason``: why it failed, a stable word; None for a success."""
        self._delivery_s.observe(seconds)
        self._deliveries.add("delivered" if reason is None else "failed")
        if reason is not None:
            self._delivery_failures.add(reason)

    def webhook_gave_up(self) -> None:
        """An event became a dead letter."""
        self._dead_letters.add()

    # --- what HTTP reports --------------------------------------------------------------------------------------------

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered. ``route`` is the template from the route table, never the path as sent."""
        self._requests.add(method, route, str(status))
        self._request_s.observe(seconds)

    def connection_counted(self, outcome: str) -> None:
        """Count a connection by ``outcome``: `accepted`, `refused` (limit reached), `cut` (too slow or past the drain deadline), `evicted`
        (idle, and its place was needed), `crashed`."""
        self._connections.add(outcome)

    def subscriber_dropped(self, reason: str) -> None:
        """The daemon closed a live event stream for this reason."""
        self._dropped.add(reason)

    def auth_failed(self, reason: str) -> None:
        """A request was refused for its key: `missing`, `wrong`, `limited`."""
        self._auth_failures.add(reason)

    # --- reading ------------------------------------------------------------------------------------------------------

    def set_source(self, name: str, source: Source) -> None:
        """Ask ``source`` for samples at each scrape. It replaces an earlier source of that name, and must not wait or fail."""
        self._sources[name] = source

    def set_remarks(self, name: str, remarks: Remarks) -> None:
        """Ask ``remarks`` whenever the tree is shown. It replaces an earlier one of that name, and must not wait or fail."""
        self._remarks[name] = remarks

    @property
    def remarks(self) -> dict[str, str]:
        """Return all remarks, by path."""
        return {path: word for source in self._remarks.values() for path, word in source().items()}

    @property
    def engines(self) -> tuple[EngineFigures, ...]:
        """Return the figures of the engine processes that run, by name."""
        return tuple(self._engines[name] for name in sorted(self._engines))

    def totals(self, only: Collection[str] | None = None) -> Totals:
        """Return the JSON metrics, of all companies or of ``only`` these (those of a key)."""
        counts = self._all if only is None else _sum(self._companies[c] for c in only if c in self._companies)
        states = [state for company_id, state in self._states.items() if only is None or company_id in only]
        connected = sum(state is CompanyState.CONNECTED for state in states)
        return Totals(
            total_sessions=len(states),
            active_connections=connected,
            failed_reconnects=counts.failed_reconnects,
            messages_sent=counts.sent,
            messages_received=counts.received,
            qr_codes_generated=counts.qr_codes,
            errors=counts.errors,
            last_error=counts.last_error,
            sessions=SessionCounts(total=len(states), connected=connected, disconnected=len(states) - connected),
            timestamp=time.time(),
        )

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Return nothing, so that the registry does not collect before sources exist."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. The registry calls this at each scrape."""
        yield from self._session_families()
        yield from self._message_families()
        counts = (
            self._errors,
            self._transitions,
            self._rate_limited,
            self._lookups_limited,
            self._orders_limited,
            self._fell_back,
            self._events_dropped,
            self._leases_lost,
            self._engine_lines_lost,
            self._requests,
            self._connections,
            self._dropped,
            self._auth_failures,
            self._deliveries,
            self._delivery_failures,
            self._dead_letters,
        )
        for count in counts:
            yield count.family()
        for distribution in (self._request_s, self._commit_s, self._commit_keys, self._send_s, self._delivery_s):
            yield distribution.family()
        sampled = [sample for source in self._sources.values() for sample in source()]
        yield from families([*self._engine_samples(), *self._own_samples(), *sampled])

    def _engine_samples(self) -> Iterator[Sample]:
        yield Sample("wasup_engine_processes", "Engine processes that run", len(self._engines))
        for figures in self.engines:
            labels = {"engine": figures.engine}
            yield Sample("wasup_engine_companies", "Companies in the process", figures.companies, labels)
            yield Sample("wasup_engine_memory_bytes", "Resident memory of the process", figures.rss_bytes, labels)
            yield Sample("wasup_engine_threads", "Threads of the process", figures.threads, labels)
            descriptors = figures.descriptors
            yield Sample("wasup_engine_descriptors", "Open file descriptors of the process", descriptors, labels)
            stale = figures.stale_clients
            yield Sample("wasup_engine_stale_clients", "Ended connections that left memory behind", stale, labels)

    def _own_samples(self) -> Iterator[Sample]:
        yield Sample("wasup_build_info", "Always 1; the version is a label", 1, {"version": VERSION})
        blocks = "Blocks of memory that Python's objects hold: what is kept, whereas resident memory is the most there ever was"
        yield Sample("wasup_memory_blocks", blocks, sys.getallocatedblocks())
        for backend in RATE_LIMIT_BACKENDS:
            is_it = float(backend == self.rate_limit_backend)
            yield Sample(
                "wasup_rate_limit_backend", "1: the rate limit is counted there now", is_it, {"backend": backend}
            )

    def _session_families(self) -> Iterator[Metric]:
        totals = self.totals()
        # Dashboards depend on these names, though unusual for gauges; the names are fixed (docs/HANDBOOK.md).
        yield GaugeMetricFamily(
            "whatsapp_sessions_total", "Companies known now: a gauge, despite its name", value=totals.total_sessions
        )
        yield GaugeMetricFamily("whatsapp_active_connections", "Companies connected", value=totals.active_connections)
        attempts = self._all.reconnect_attempts
        yield GaugeMetricFamily(
            "whatsapp_reconnect_attempts", "Attempts to connect again, ever growing", value=attempts
        )
        by_state = GaugeMetricFamily("wasup_sessions", "Companies by state", labels=["status"])
        states = list(self._states.values())
        for state in CompanyState:
            by_state.add_metric([state.value], states.count(state))
        yield by_state

    def _message_families(self) -> Iterator[Metric]:
        yield CounterMetricFamily("whatsapp_messages_sent", "Messages WhatsApp acknowledged", value=self._all.sent)
        yield CounterMetricFamily("whatsapp_messages_received", "Messages received", value=self._all.received)
        yield CounterMetricFamily("wasup_qr_codes", "QR codes put on offer", value=self._all.qr_codes)
        yield CounterMetricFamily("wasup_reconnects_failed", "Failed reconnects", value=self._all.failed_reconnects)

    def _of(self, company_id: str) -> CompanyCounts:
        counts = self._companies.get(company_id)
        if counts is None:
            counts = self._companies[company_id] = CompanyCounts()
        return counts


def _sum(parts: Iterable[CompanyCounts]) -> CompanyCounts:
    total = CompanyCounts()
    for part in parts:
        total.sent += part.sent
        total.received += part.received
        total.qr_codes += part.qr_codes
        total.reconnect_attempts += part.reconnect_attempts
        total.failed_reconnects += part.failed_reconnects
        total.errors += part.errors
        if part.last_error and (total.last_error is None or part.last_error.timestamp > total.last_error.timestamp):
            total.last_error = part.last_error
    return total
