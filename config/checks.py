"""Checks between settings, and between a setting and this machine."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from config.errors import Problem
from config.key_file import read_keys
from config.postgres_url import read
from config.secret import Secret
from config.settings import Settings

Where = Callable[[str], str]
"""Returns the place where a key was set."""

_ORDERED = (
    ("company.reconnect_min_s", "company.reconnect_max_s"),
    ("company.circuit_min_s", "company.circuit_max_s"),
    ("company.conflict_min_s", "company.conflict_max_s"),
    ("company.restart_min_s", "company.restart_max_s"),
    ("storage.retry_min_s", "storage.retry_max_s"),
    ("http.websocket_ping_interval_s", "http.websocket_silence_s"),
    ("webhooks.retry_min_s", "webhooks.retry_max_s"),
    ("webhooks.circuit_min_s", "webhooks.circuit_max_s"),
    ("health.misses_to_report", "health.misses_to_restart"),
)
_RENEWALS_PER_LEASE = 3
_ANSWERING_S = 2.0
"""The time a request takes in addition to the send itself."""


def check(
    settings: Settings, where: Where, *, is_root: bool, environment: Mapping[str, str] | None = None
) -> Iterator[Problem]:
    """Yield every contradiction, with the place where its key was set; ``environment`` may complete a database's URL."""
    yield from _check_order(settings, where)
    yield from _check_send_timeout(settings, where)
    yield from _check_lease(settings, where)
    yield from _check_webhook_lease(settings, where)
    yield from _check_bind(settings, where)
    yield from _check_tls(settings, where)
    yield from _check_master_key(settings, where)
    yield from _check_postgres_user(settings, where, is_root=is_root)
    yield from _check_databases(settings, where, environment or {})


def _check_order(settings: Settings, where: Where) -> Iterator[Problem]:
    for low_key, high_key in _ORDERED:
        low, high = _number(settings, low_key), _number(settings, high_key)
        if low > high:
            wrong = f"{low:g} is more than {high_key}, which is {high:g}"
            yield Problem(where(low_key), low_key, wrong, f"write at most {high:g} or raise {high_key}")


def _number(settings: Settings, key: str) -> float:
    section, name = key.split(".")
    return float(getattr(getattr(settings, section), name))


def _check_send_timeout(settings: Settings, where: Where) -> Iterator[Problem]:
    send_s, request_s = settings.company.send_timeout_s, settings.http.request_timeout_s
    if send_s + _ANSWERING_S > request_s:
        wrong = f"{send_s:g} is longer than a request may take: http.request_timeout_s is {request_s:g}"
        right = f"write at most {request_s - _ANSWERING_S:g} or raise http.request_timeout_s"
        yield Problem(where("company.send_timeout_s"), "company.send_timeout_s", wrong, right)


def _check_lease(settings: Settings, where: Where) -> Iterator[Problem]:
    lease = settings.lease
    if lease.renew_interval_s * _RENEWALS_PER_LEASE > lease.ttl_s:
        wrong = f"{lease.renew_interval_s:g} leaves no time for a renewal to fail within lease.ttl_s, {lease.ttl_s:g}"
        right = f"write at most {lease.ttl_s / _RENEWALS_PER_LEASE:g} or raise lease.ttl_s"
        yield Problem(where("lease.renew_interval_s"), "lease.renew_interval_s", wrong, right)


def _check_webhook_lease(settings: Settings, where: Where) -> Iterator[Problem]:
    hooks = settings.webhooks
    # A lease is renewed when a third of its time is over, and a delivery begins only if it ends within the lease.
    needed = 2 * (hooks.timeout_s + hooks.survey_interval_s)
    if hooks.lease_ttl_s < needed:
        wrong = f"{hooks.lease_ttl_s:g} leaves no time for a delivery of webhooks.timeout_s, {hooks.timeout_s:g}"
        right = f"write at least {needed:g} or lower webhooks.timeout_s"
        yield Problem(where("webhooks.lease_ttl_s"), "webhooks.lease_ttl_s", wrong, right)


def _check_bind(settings: Settings, where: Where) -> Iterator[Problem]:
    if settings.bind.is_loopback or settings.http.tls_certificate_file is not None or settings.http.trusted_proxies:
        return
    wrong = f"{settings.bind} can be reached from other machines, and API keys and messages would travel unencrypted"
    right = (
        "bind to 127.0.0.1, or set http.tls_certificate_file and http.tls_key_file, "
        "or name the reverse proxy that adds TLS in http.trusted_proxies"
    )
    yield Problem(where("bind"), "bind", wrong, right)


def _check_tls(settings: Settings, where: Where) -> Iterator[Problem]:
    files = {
        "http.tls_certificate_file": settings.http.tls_certificate_file,
        "http.tls_key_file": settings.http.tls_key_file,
    }
    missing = [key for key, path in files.items() if path is None]
    for key, path in files.items():
        if path is None:
            continue
        if missing:
            yield Problem(where(key), key, f"it is set but {missing[0]} is not", f"set {missing[0]} too")
        if reason := _unreadable(path):
            yield Problem(where(key), key, f"{path} {reason}", "name a PEM file that the daemon may read")


def _check_master_key(settings: Settings, where: Where) -> Iterator[Problem]:
    if settings.master_key_file is None:
        return
    try:
        read_keys(settings.master_key_file)
    except ValueError as error:
        wrong, _, right = str(error).partition("; ")
        yield Problem(where("master_key_file"), "master_key_file", wrong, right)


def _unreadable(path: Path) -> str | None:
    if not path.is_file():
        return "is not a file"
    return None if os.access(path, os.R_OK) else "cannot be read by this user"


def _check_postgres_user(settings: Settings, where: Where, *, is_root: bool) -> Iterator[Problem]:
    if not is_root or settings.database_url is not None:
        return
    right = "name an existing ordinary user, for example nobody"
    try:
        uid = pwd.getpwnam(settings.postgres_user).pw_uid
    except KeyError:
        wrong = f"there is no user {settings.postgres_user!r} on this machine"
        yield Problem(where("postgres_user"), "postgres_user", wrong, right)
        return
    if uid == 0:
        yield Problem(where("postgres_user"), "postgres_user", "Postgres refuses to run as root", right)


def _check_databases(settings: Settings, where: Where, environment: Mapping[str, str]) -> Iterator[Problem]:
    for key in ("database_url", "database_direct_url"):
        secret: Secret | None = getattr(settings, key)
        if secret is None:
            continue
        try:
            url = read(secret.reveal(), environment)
        except ValueError as error:
            wrong, _, right = str(error).rpartition("; ")
            yield Problem(where(key), key, wrong, right)
            continue
        for name, file in url.unreadable_files():
            yield Problem(
                where(key), key, f"{name} names {file}, which cannot be read", "name a file that the daemon may read"
            )
    if settings.database_direct_url is not None and settings.database_url is None:
        yield Problem(
            where("database_direct_url"),
            "database_direct_url",
            "there is no database_url",
            "set DATABASE_URL too, or only that",
        )
