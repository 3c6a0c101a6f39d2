"""The daemon's settings: one frozen structure, made by `config.load.load` or, in tests, directly.

The main knobs are here; the limits of each part are sections (config/sections.py). docs/settings.md lists them all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from config.secret import Secret
from config.sections import (
    CompanySettings,
    DiskSettings,
    EngineSettings,
    EventSettings,
    HealthSettings,
    HttpSettings,
    JanitorSettings,
    LeaseSettings,
    LogSettings,
    MediaSettings,
    OutboundSettings,
    RateLimitSettings,
    StorageSettings,
    WebhookSettings,
    WhatsAppSettings,
)
from config.values import (
    Bind,
    parse_bind,
    parse_path,
    parse_postgres_url,
    parse_proxies,
    parse_proxy,
    parse_redis_url,
    parse_region,
)

LogLevel = Literal["debug", "info", "warning", "error"]
Linker = Literal["engine", "python"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator can set. Only ``state_dir`` has no default here: it depends on the user of the daemon."""

    state_dir: Annotated[
        Path,
        Meta(
            description="Embedded Postgres, device files, `admin.key`. Default: `/var/lib/wasup` for root, "
            "else `$XDG_STATE_HOME/wasup` or `~/.local/state/wasup`.",
            extra={"parse": parse_path},
        ),
    ]
    bind: Annotated[
        Bind,
        Meta(
            description="Where HTTP is served. Anything but loopback needs TLS or `http.trusted_proxies`.",
            extra={"parse": parse_bind},
        ),
    ] = Bind("127.0.0.1", 3003)
    database_url: Annotated[
        Secret | None,
        Meta(
            description="Postgres 14 or later. Without it the daemon runs an embedded server in the state directory.",
            extra={"parse": parse_postgres_url, "env": "DATABASE_URL", "secret": True},
        ),
    ] = None
    database_direct_url: Annotated[
        Secret | None,
        Meta(
            description="The same database past a pooler in transaction mode: for `wasup with-database` and the backup.",
            extra={"parse": parse_postgres_url, "secret": True},
        ),
    ] = None
    master_key_file: Annotated[
        Path | None,
        Meta(
            description="File with the master key of encryption at rest (docs/encryption.md): 32 random bytes in base64 or hex, or raw; "
            "further lines only open.",
            extra={"parse": parse_path, "credential_file": "master_key"},
        ),
    ] = None
    redis_url: Annotated[
        Secret | None,
        Meta(
            description="Redis for the rate limit, for several daemons to share. Without it: in memory.",
            extra={"parse": parse_redis_url, "env": "REDIS_URL", "secret": True},
        ),
    ] = None
    postgres_user: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=32,
            description="The user that the embedded server runs as when the daemon is root.",
        ),
    ] = "nobody"
    proxy: Annotated[
        Secret | None,
        Meta(
            description="Proxy for WhatsApp traffic: `http://host:port` or `socks5://host:port`.",
            extra={"parse": parse_proxy, "secret": True},
        ),
    ] = None
    proxies: Annotated[
        Mapping[str, Secret],
        Meta(
            description="Proxies of single companies, before `proxy`: a table in the file, "
            "`company=url,…` in the environment.",
            extra={"parse": parse_proxies, "secret": True},
        ),
    ] = msgspec.field(default_factory=dict[str, Secret])
    sessions_per_engine: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Companies in one engine process: what a fault of the engine can take down at most.",
        ),
    ] = 50
    linker: Annotated[
        Linker,
        Meta(
            description="What links companies: `engine`, a process with the whole library, or `python`, a small one that does nothing "
            "else. Accounts that want a passkey can be linked with `python` only."
        ),
    ] = "engine"
    start_concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Companies that log in at once, at the start and later.")
    ] = 10
    default_region: Annotated[
        str | None,
        Meta(
            description="The country of phone numbers written without a country code, like `RU`. Without it they are refused.",
            extra={"parse": parse_region},
        ),
    ] = None
    stop_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="A stop takes no longer; what is not down by then is cut and listed.")
    ] = 30.0
    log_level: Annotated[LogLevel, Meta(description="The least serious lines that are logged.")] = "info"

    http: HttpSettings = HttpSettings()
    engine: EngineSettings = EngineSettings()
    company: CompanySettings = CompanySettings()
    lease: LeaseSettings = LeaseSettings()
    storage: StorageSettings = StorageSettings()
    events: EventSettings = EventSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    health: HealthSettings = HealthSettings()
    outbound: OutboundSettings = OutboundSettings()
    webhooks: WebhookSettings = WebhookSettings()
    whatsapp: WhatsAppSettings = WhatsAppSettings()
    media: MediaSettings = MediaSettings()
    disk: DiskSettings = DiskSettings()
    janitor: JanitorSettings = JanitorSettings()
    log: LogSettings = LogSettings()

    def proxy_for(self, company_id: str) -> str | None:
        """Return the proxy URL for this company's WhatsApp traffic, readable: pass it on, never log it."""
        secret = self.proxies.get(company_id, self.proxy)
        return None if secret is None else secret.reveal()

    @property
    def admin_key_file(self) -> Path:
        """The file where the first start writes the admin key (mode 0600)."""
        return self.state_dir / "admin.key"

    @property
    def devices_dir(self) -> Path:
        """The directory of the companies' device files."""
        return self.state_dir / "devices"

    @property
    def postgres_account(self) -> str | None:
        """The account for the embedded server; None unless this is root, since only root can choose one."""
        return self.postgres_user if os.geteuid() == 0 else None

    @property
    def postgres_dir(self) -> Path:
        """The directory of the embedded Postgres."""
        return self.state_dir / "postgres"
