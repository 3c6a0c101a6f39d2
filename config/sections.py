"""The limits, a section for each part of the daemon. Every number has its unit in its name and a range.

The settings file and the environment use the same names: ``[http] max_body_bytes`` is ``WASUP_HTTP_MAX_BODY_BYTES``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from config.outward import MediaSettings as MediaSettings
from config.outward import OutboundSettings as OutboundSettings
from config.outward import WebhookSettings as WebhookSettings
from config.outward import WhatsAppSettings as WhatsAppSettings
from config.section import DAY_S, KIB, MIB, Section
from config.values import Network, parse_networks, parse_path

PoolerMode = Literal["auto", "transaction", "none"]


class HttpSettings(Section, frozen=True):
    """The HTTP server."""

    tls_certificate_file: Annotated[
        Path | None,
        Meta(
            description="PEM file with the certificate chain; with it the listener speaks TLS.",
            extra={"parse": parse_path},
        ),
    ] = None
    tls_key_file: Annotated[
        Path | None, Meta(description="PEM file with the certificate's private key.", extra={"parse": parse_path})
    ] = None
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Meta(
            description="Reverse proxies whose X-Forwarded-For is believed (docs/proxies.md). "
            "Without TLS, only these and loopback may connect.",
            extra={"parse": parse_networks},
        ),
    ] = ()
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Open connections; one more is closed at once.")
    ] = 1000
    max_body_bytes: Annotated[int, Meta(ge=1 * KIB, le=16 * MIB, description="Largest request body.")] = 64 * KIB
    max_header_bytes: Annotated[int, Meta(ge=1 * KIB, le=256 * KIB, description="Largest request head.")] = 16 * KIB
    read_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="Time a client may take to send a whole request.")
    ] = 12.0
    request_timeout_s: Annotated[float, Meta(gt=0, le=600, description="Time a request may take to be answered.")] = (
        60.0
    )
    keep_alive_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Idle time after which a connection is closed.")
    ] = 75.0
    drain_timeout_s: Annotated[
        float, Meta(ge=0, le=60, description="At shutdown, time that open requests get to finish.")
    ] = 2.0
    tcp_user_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="Time after which a peer that acknowledges nothing is gone.")
    ] = 5.0
    max_waiting_sends: Annotated[
        int,
        Meta(ge=0, le=100_000, description="Requests that wait at once for companies on their way back, all together."),
    ] = 500
    max_websockets: Annotated[int, Meta(ge=0, le=100_000, description="Open WebSocket subscriptions.")] = 200
    websocket_frame_bytes: Annotated[
        int, Meta(ge=128, le=MIB, description="Largest message a WebSocket client may send.")
    ] = 64 * KIB
    websocket_send_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="Time one WebSocket send may take before the consumer is dropped.")
    ] = 5.0
    websocket_ping_interval_s: Annotated[
        float, Meta(gt=0, le=600, description="How often a WebSocket client is pinged.")
    ] = 3.0
    websocket_silence_s: Annotated[
        float, Meta(gt=0, le=600, description="Time after which a WebSocket client that answered no ping is closed.")
    ] = 8.0
    max_dashboards: Annotated[int, Meta(ge=0, le=10_000, description="Open dashboards.")] = 20
    dashboard_interval_s: Annotated[
        float, Meta(ge=0.05, le=60, description="How often an open dashboard is sent what has changed.")
    ] = 1.0
    dashboard_rows: Annotated[
        int, Meta(ge=100, le=100_000, description="Companies, and actors, that a dashboard is sent at most.")
    ] = 5000
    dashboard_statuses: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Companies asked for their evidence at each such time, while one is open."),
    ] = 50
    ticket_ttl_s: Annotated[
        float, Meta(gt=0, le=600, description="Life of a one-time ticket for a browser's WebSocket.")
    ] = 30.0
    max_tickets: Annotated[int, Meta(ge=1, le=100_000, description="Tickets that are out at once.")] = 1000
    auth_failures_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Wrong keys of an address in a minute after which they get 429; right ones pass.",
        ),
    ] = 20
    auth_addresses: Annotated[
        int, Meta(ge=16, le=1_000_000, description="Addresses whose failures are remembered; the oldest is forgotten.")
    ] = 10_000


class EngineSettings(Section, frozen=True):
    """The engine processes."""

    max_processes: Annotated[int, Meta(ge=1, le=1000, description="Engine processes of linked companies at once.")] = 40
    max_pairing_processes: Annotated[
        int,
        Meta(
            ge=2,
            le=100,
            description="Engine processes of companies that are being linked, beside those of linked ones; "
            "each takes as many companies. A worn one is full until its last company has left.",
        ),
    ] = 4
    pairing_idle_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="Time after which a process in which no company is being linked is ended."),
    ] = 30.0
    start_timeout_s: Annotated[
        float, Meta(gt=0, le=300, description="Time a new engine process has until it accepts connections.")
    ] = 30.0
    stop_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="Time an engine process has to end by itself before it is killed.")
    ] = 3.0
    statistics_interval_s: Annotated[
        float, Meta(gt=0, le=3600, description="How often an engine process is asked for memory and threads.")
    ] = 5.0
    max_stale_clients: Annotated[
        int,
        Meta(
            ge=10,
            le=100_000,
            description="Ended WhatsApp connections after which a process is replaced: each leaves 0.2 MB behind in the library. "
            "Its companies leave for another one after the other.",
        ),
    ] = 2000
    max_stale_pairings: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="The same for a process in which companies are linked: attempts that ended. It takes no more and ends once empty.",
        ),
    ] = 200
    max_descriptors: Annotated[
        int,
        Meta(
            ge=256,
            le=1_000_000,
            description="File descriptors, beside 8 a company, with which a process is replaced; "
            "earlier where the system allows a process less than 1.7 times as many.",
        ),
    ] = 6000
    max_threads: Annotated[
        int,
        Meta(ge=64, le=100_000, description="Threads, beside 4 a company, with which a process is replaced."),
    ] = 1000
    max_log_line_bytes: Annotated[
        int, Meta(ge=128, le=MIB, description="Longest line of an engine's output that is logged whole.")
    ] = 4 * KIB


class CompanySettings(Section, frozen=True):
    """The session of one company: deadlines, back-off, the circuit breaker."""

    pairing_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Time a QR or pairing code is on offer in all.")
    ] = 160.0
    passkey_timeout_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="Time the owner of an account has to give its passkey, where one is wanted."),
    ] = 600.0
    connect_timeout_s: Annotated[float, Meta(gt=0, le=600, description="Time `connecting` may last.")] = 60.0
    send_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="Time until WhatsApp has acknowledged a message and its state is stored.")
    ] = 30.0
    ping_timeout_s: Annotated[float, Meta(gt=0, le=300, description="Time for one round trip to WhatsApp.")] = 10.0
    logout_timeout_s: Annotated[float, Meta(gt=0, le=300, description="Time for the unlinking at WhatsApp.")] = 20.0
    stop_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="Time a company has at shutdown to ship the rest of its journal.")
    ] = 2.0
    inquiry_timeout_s: Annotated[
        float, Meta(gt=0, le=300, description="Time for a question to WhatsApp: about a number, about groups.")
    ] = 15.0
    max_pending_inquiries: Annotated[
        int, Meta(ge=1, le=1000, description="Questions and files of one company under way at once.")
    ] = 12
    max_pending_sends: Annotated[int, Meta(ge=1, le=100_000, description="Sends of one company under way at once.")] = (
        100
    )
    send_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="Time a request waits for a company on its way back to WhatsApp, as far as `http.request_timeout_s` allows.",
        ),
    ] = 15.0
    max_waiting_sends: Annotated[
        int, Meta(ge=0, le=10_000, description="Requests that wait at once for one company on its way back.")
    ] = 20
    mailbox_messages: Annotated[
        int, Meta(ge=10, le=1_000_000, description="Messages that wait for one company's actor.")
    ] = 1000
    reconnect_min_s: Annotated[
        float, Meta(gt=0, le=3600, description="First pause before a reconnect; it doubles, with full jitter.")
    ] = 1.0
    reconnect_max_s: Annotated[float, Meta(gt=0, le=86_400, description="Longest pause before a reconnect.")] = 300.0
    circuit_failures: Annotated[
        int, Meta(ge=1, le=1000, description="Failures in a row that open the circuit (`suspended`).")
    ] = 5
    circuit_min_s: Annotated[
        float, Meta(gt=0, le=86_400, description="First pause before a probe of an open circuit; it doubles.")
    ] = 300.0
    circuit_max_s: Annotated[
        float, Meta(gt=0, le=604_800, description="Longest pause before a probe of an open circuit.")
    ] = 3600.0
    outdated_min_s: Annotated[
        float,
        Meta(
            gt=0,
            le=7 * DAY_S,
            description="First wait of a company whose version WhatsApp refuses while there is no other.",
        ),
    ] = 900.0
    outdated_max_s: Annotated[float, Meta(gt=0, le=7 * DAY_S, description="Longest such wait.")] = 21_600.0
    conflict_min_s: Annotated[
        float, Meta(gt=0, le=86_400, description="First pause after another client took the session over; it doubles.")
    ] = 60.0
    conflict_max_s: Annotated[
        float, Meta(gt=0, le=604_800, description="Longest pause after another client took the session over.")
    ] = 900.0
    start_jitter_s: Annotated[
        float, Meta(ge=0, le=600, description="At boot, each company's connect is delayed by up to this.")
    ] = 1.0
    restart_min_s: Annotated[
        float, Meta(ge=0, le=3600, description="First pause before a crashed company actor is restarted; it doubles.")
    ] = 0.1
    restart_max_s: Annotated[
        float, Meta(ge=0, le=3600, description="Longest pause before a crashed company actor is restarted.")
    ] = 30.0
    max_restarts: Annotated[
        int, Meta(ge=0, le=10_000, description="Restarts within the window after which the company is `failed`.")
    ] = 10
    restart_window_s: Annotated[float, Meta(gt=0, le=86_400, description="The window for max_restarts.")] = 300.0


class LeaseSettings(Section, frozen=True):
    """Ownership of companies, across daemons."""

    ttl_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="A lease that was not renewed for this long can be taken by another daemon."),
    ] = 60.0
    renew_interval_s: Annotated[
        float, Meta(gt=0, le=1200, description="How often leases are renewed; at most a third of ttl_s.")
    ] = 10.0
    follow_interval_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60,
            description="How often it is looked at what other daemons did, and for companies that no daemon owns; "
            "PostgreSQL's notifications make it look at once.",
        ),
    ] = 1.0


class StorageSettings(Section, frozen=True):
    """PostgreSQL, and the single writer in front of it."""

    pool_connections: Annotated[int, Meta(ge=2, le=1000, description="Connections to Postgres.")] = 10
    acquire_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=60,
            description="Time to get a connection from the pool; a longer `connect_timeout` in the URL holds instead.",
        ),
    ] = 2.0
    command_timeout_s: Annotated[float, Meta(gt=0, le=600, description="Time one statement may take.")] = 10.0
    pooler: Annotated[
        PoolerMode,
        Meta(
            description="Whether a pooler in transaction mode (PgBouncer, Supavisor) is before Postgres. `auto` finds out; "
            "`?pgbouncer=true` in the URL says `transaction`."
        ),
    ] = "auto"
    lock_timeout_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=60,
            description="Time a commit waits for rows that somebody else has locked; then their company waits by itself.",
        ),
    ] = 0.25
    stalled_after_s: Annotated[
        float,
        Meta(
            gt=0,
            le=60,
            description="A commit under way for so long counts as Postgres being away: nothing new is sent.",
        ),
    ] = 1.0
    retry_min_s: Annotated[
        float, Meta(gt=0, le=60, description="First pause before Postgres is tried again; it doubles.")
    ] = 0.05
    retry_max_s: Annotated[float, Meta(gt=0, le=600, description="Longest pause before Postgres is tried again.")] = 2.0
    batch_deltas: Annotated[int, Meta(ge=1, le=10_000, description="Deltas in one group commit.")] = 256
    queue_deltas: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Deltas that wait for a commit; when full, new work is refused.")
    ] = 10_000
    queue_bytes: Annotated[
        int, Meta(ge=MIB, le=4096 * MIB, description="Bytes that wait for a commit; when full, new work is refused.")
    ] = 64 * MIB
    postgres_start_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="Time the embedded server has until it accepts connections.")
    ] = 60.0
    postgres_stop_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="Time the embedded server has to stop before it is killed.")
    ] = 3.0
    import_quiet_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="A Baileys directory written to less than this ago is not imported: it is in use.",
        ),
    ] = 10.0
    move_lease_wait_s: Annotated[
        float, Meta(ge=0, le=600, description="Time an import or export waits for a company that was stopped just now.")
    ] = 5.0
    move_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Time the transaction of an import or an export may take.")
    ] = 120.0
    idempotency_ttl_s: Annotated[
        float, Meta(ge=60, le=30 * DAY_S, description="How long an Idempotency-Key is remembered.")
    ] = DAY_S


class EventSettings(Section, frozen=True):
    """The event log and its subscribers."""

    retention_s: Annotated[float, Meta(ge=60, le=3650 * DAY_S, description="How long events are kept.")] = 7 * DAY_S
    max_subscribers: Annotated[int, Meta(ge=1, le=100_000, description="Live subscribers.")] = 200
    subscriber_events: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Events a subscriber may lag behind before it is dropped.")
    ] = 1000
    queue_events: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Events that wait to be stored; when full, new ones are refused.")
    ] = 10_000
    max_reads: Annotated[
        int,
        Meta(ge=1, le=100, description="Pages of the log that are read at once; readers take turns, one has half."),
    ] = 4
    follow_interval_s: Annotated[
        float, Meta(gt=0, le=60, description="How often the log is looked at for events that another daemon stored.")
    ] = 1.0


class RateLimitSettings(Section, frozen=True):
    """How much one company may send, how many numbers it may look up, since WhatsApp bans for too much of either,
    and how often its session may begin and end, since each time leaves memory in use in an engine process."""

    max_requests: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Messages a company may send in a window.",
            extra={"env": "RATE_LIMIT_MAX_REQUESTS"},
        ),
    ] = 30
    window_ms: Annotated[
        int, Meta(ge=100, le=86_400_000, description="The sliding window.", extra={"env": "RATE_LIMIT_WINDOW_MS"})
    ] = 60_000
    max_lookups: Annotated[
        int,
        Meta(
            ge=1, le=1_000_000, description="Numbers a company may look up (`GET …/contacts/{phone}`) in their window."
        ),
    ] = 30
    lookups_window_ms: Annotated[
        int, Meta(ge=100, le=86_400_000, description="The sliding window of look-ups; they are counted by themselves.")
    ] = 60_000
    max_orders: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Orders a company takes in their window: initialize, start, stop, restart, logout and its removal.",
        ),
    ] = 20
    orders_window_ms: Annotated[
        int, Meta(ge=100, le=86_400_000, description="The sliding window of orders; they are counted by themselves.")
    ] = 60_000
    max_companies: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Companies counted in memory; the longest idle is forgotten.")
    ] = 100_000
    redis_timeout_ms: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Time Redis has to answer; then memory counts until it answers again."),
    ] = 100
    redis_retry_min_s: Annotated[
        float, Meta(gt=0, le=60, description="First pause before a Redis that is away is tried again; it doubles.")
    ] = 0.5
    redis_retry_max_s: Annotated[
        float, Meta(gt=0, le=3600, description="Longest pause before a Redis that is away is tried again.")
    ] = 10.0


class HealthSettings(Section, frozen=True):
    """The regular round trips that check sessions."""

    interval_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=86_400_000,
            description="How often each session is checked.",
            extra={"env": "HEALTH_CHECK_INTERVAL"},
        ),
    ] = 30_000
    concurrency: Annotated[int, Meta(ge=1, le=10_000, description="Checks under way at once.")] = 50
    misses_to_report: Annotated[
        int, Meta(ge=1, le=1000, description="Misses in a row that make a `health_check_failed` event.")
    ] = 2
    misses_to_restart: Annotated[int, Meta(ge=1, le=1000, description="Misses in a row that restart the company.")] = 3


class DiskSettings(Section, frozen=True):
    """Reserved room in the state directory."""

    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=16 * 1024 * MIB,
            description="Room kept for a full disk, so that what is under way ends in order; at most a sixteenth of the file system.",
        ),
    ] = 32 * MIB


class JanitorSettings(Section, frozen=True):
    """The regular clean-up."""

    interval_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3 * DAY_S,
            description="How often expired keys and old events are removed, and the keys that running sessions need kept from expiring.",
        ),
    ] = 21_600.0
    batch_rows: Annotated[int, Meta(ge=1, le=1_000_000, description="Rows removed in one statement.")] = 1000
    archive_retention_s: Annotated[
        float,
        Meta(
            ge=60,
            le=3650 * DAY_S,
            description="How long credentials are kept after a company was logged out or deleted; of each company the last 10 at most.",
        ),
    ] = 90 * DAY_S


class LogSettings(Section, frozen=True):
    """Limits of log lines."""

    max_value_chars: Annotated[
        int, Meta(ge=80, le=100_000, description="Longest text value in a log line; the rest is cut.")
    ] = 1000
    repeat_interval_s: Annotated[
        float, Meta(ge=0, le=3600, description="A library's message is logged at most this often.")
    ] = 10.0
    queue_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            le=67_108_864,
            description="Most bytes of lines that wait for standard output to take them; further lines are counted and left out.",
        ),
    ] = 1_048_576
    blocked_after_s: Annotated[
        float, Meta(gt=0, le=3600, description="A task that lets no other run for this long is named in the log.")
    ] = 0.2
