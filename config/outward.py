"""The limits of connections to and from hosts named by others, and of files. Imported from config/sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from config.section import DAY_S, KIB, MIB, Section
from config.values import Network, parse_networks, parse_whatsapp_version


class OutboundSettings(Section, frozen=True):
    """Requests to hosts named by others: webhooks, media by URL."""

    allow_http: Annotated[
        bool, Meta(description="Whether http:// is allowed beside https://. Bodies are then readable on the way.")
    ] = False
    allowed_networks: Annotated[
        tuple[Network, ...],
        Meta(
            description="Addresses that may be connected to although they are not public, for receivers inside.",
            extra={"parse": parse_networks},
        ),
    ] = ()
    max_lookups: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Names looked up at once, each in a thread; companies take turns, one has two at most.",
        ),
    ] = 16
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="Time to resolve a host's name and connect to it, TLS not included.")
    ] = 5.0


class WebhookSettings(Section, frozen=True):
    """Deliveries of events to applications."""

    max_endpoints: Annotated[
        int, Meta(ge=0, le=100_000, description="Webhooks at once; the last tenth for admin keys.")
    ] = 1000
    max_endpoints_per_company: Annotated[
        int, Meta(ge=0, le=100_000, description="Webhooks that name one company, whoever made them.")
    ] = 20
    max_deliveries: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Deliveries under way at once, of all endpoints; no company has more than a third.",
        ),
    ] = 256
    timeout_s: Annotated[
        float, Meta(gt=0, le=120, description="Time one delivery may take, from the name's lookup to the last byte.")
    ] = 10.0
    concurrency: Annotated[
        int, Meta(ge=1, le=100, description="Deliveries to one endpoint at once, each of another company.")
    ] = 8
    max_answer_bytes: Annotated[
        int,
        Meta(ge=0, le=16 * MIB, description="How much of an endpoint's answer is read; its status counts, no more."),
    ] = 64 * KIB
    window_events: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Events of one endpoint in memory, the oldest undelivered one included."),
    ] = 1000
    max_attempts: Annotated[
        int, Meta(ge=1, le=1000, description="Attempts after which an event is put among the dead letters.")
    ] = 12
    retry_min_s: Annotated[
        float, Meta(gt=0, le=3600, description="First pause before an event is tried again; it doubles, with jitter.")
    ] = 1.0
    retry_max_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Longest pause before an event is tried again.")
    ] = 300.0
    circuit_failures: Annotated[int, Meta(ge=1, le=1000, description="Failures in a row that suspend an endpoint.")] = 5
    circuit_min_s: Annotated[
        float, Meta(gt=0, le=86_400, description="First pause before a suspended endpoint is tried again; it doubles.")
    ] = 30.0
    circuit_max_s: Annotated[
        float, Meta(gt=0, le=604_800, description="Longest pause before a suspended endpoint is tried again.")
    ] = 900.0
    lease_ttl_s: Annotated[
        float,
        Meta(
            ge=1, le=3600, description="Time after which another daemon may deliver in the place of one that is gone."
        ),
    ] = 30.0
    survey_interval_s: Annotated[
        float, Meta(gt=0, le=60, description="How often leases are renewed and changes of webhooks looked for.")
    ] = 2.0
    save_interval_s: Annotated[
        float, Meta(gt=0, le=60, description="How often cursors are written while deliveries succeed.")
    ] = 0.5
    secret_overlap_s: Annotated[
        float, Meta(ge=0, le=30 * DAY_S, description="How long the old secret stays valid when it is rotated.")
    ] = DAY_S
    dead_letter_retention_s: Annotated[
        float, Meta(ge=60, le=3650 * DAY_S, description="How long dead letters are kept.")
    ] = 30 * DAY_S
    max_dead_letters: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Dead letters of one webhook; the oldest are dropped.")
    ] = 10_000


class MediaSettings(Section, frozen=True):
    """Files: sent from an upload or a URL, and fetched from incoming messages."""

    max_bytes: Annotated[int, Meta(ge=KIB, le=100 * MIB, description="Largest file, in either direction.")] = 16 * MIB
    max_transfers: Annotated[
        int,
        Meta(ge=1, le=1000, description="Files on their way at once, of all keys; an engine holds each three times."),
    ] = 8
    transfer_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="Time a file may take from or to WhatsApp, and from a URL.")
    ] = 40.0
    retention_s: Annotated[
        float,
        Meta(
            ge=60,
            le=3650 * DAY_S,
            description="How long files can be fetched and sent again; WhatsApp has its own limit.",
        ),
    ] = 30 * DAY_S


class WhatsAppSettings(Section, frozen=True):
    """How this client presents itself to WhatsApp."""

    version: Annotated[
        str,
        Meta(
            description="The version of WhatsApp Web to announce: `auto` finds it out, `library` is the library's own, or one "
            "like `2.3000.1047769893`.",
            extra={"parse": parse_whatsapp_version},
        ),
    ] = "auto"
    version_url: Annotated[
        str,
        Meta(
            min_length=8,
            max_length=2000,
            pattern=r"^https?://",
            description="The page that `auto` reads the newest version from, through `proxy` where one is set.",
        ),
    ] = "https://web.whatsapp.com/"
    version_interval_s: Annotated[float, Meta(ge=60, le=30 * DAY_S, description="How often `auto` reads it.")] = DAY_S
    version_timeout_s: Annotated[
        float,
        Meta(gt=0, le=60, description="Time for the page; a start waits so long when it knows none of the last day."),
    ] = 5.0
    version_page_bytes: Annotated[
        int, Meta(ge=1 * KIB, le=64 * MIB, description="How much of the page is read at most.")
    ] = 4 * MIB
    version_renew_s: Annotated[
        float,
        Meta(
            ge=0,
            le=365 * DAY_S,
            description="Age over the newest one at which `auto` goes over to that without a refusal; connected companies stay.",
        ),
    ] = 14 * DAY_S
