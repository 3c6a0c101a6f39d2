"""State that the company sessions of one engine process share."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from actors.engine.device.schema import Template
from actors.engine.device.sqlite import Sqlite
from actors.engine.whatsmeow.client import Client
from actors.engine.whatsmeow.client_map_lock import ClientMapLock
from actors.engine.whatsmeow.library import WhatsAppLibrary
from config.reserve import Reserve

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_of_this_machine(path: Path = _BOOT_ID) -> str:
    """Return an id of the machine's present boot; a new one at each call when the kernel gives none."""
    try:
        return path.read_text().strip()
    except OSError:
        return uuid.uuid4().hex


@final
@dataclass(slots=True, kw_only=True)
class Host:
    """The loaded library and the process's accounts of its clients."""

    library: WhatsAppLibrary
    sqlite: Sqlite
    template: Template
    devices: Path
    max_companies: int
    reserve: Reserve
    """Disk space that is released when the disk is full, so that clients can finish their writes."""
    whatsapp_version: str = ""
    """The version its clients announce; empty when the library does not say."""
    version_fault: str = ""
    """Why that is not the version the daemon wanted."""
    client_map_lock: ClientMapLock = field(default_factory=ClientMapLock)
    boot: str = field(default_factory=boot_of_this_machine)
    companies: set[str] = field(default_factory=set[str])
    clients_made: int = 0
    clients_ended: int = 0
    stuck_clients: list[tuple[str, Client]] = field(default_factory=list[tuple[str, Client]])
    """Stopped clients whose thread is still in the library, with their companies."""

    def next_client_name(self, company_id: str) -> str:
        """Return a client name that this process has not used before."""
        self.clients_made += 1
        return f"{company_id}#{self.clients_made}"

    def note_ended(self, company_id: str, client: Client) -> None:
        """Note that a client was stopped or is stuck."""
        self.clients_ended += 1
        if not client.has_returned:
            self.stuck_clients.append((company_id, client))

    def count_stuck_clients(self) -> int:
        """Return how many clients were stopped and still have a thread in the library."""
        self.stuck_clients = [(company, client) for company, client in self.stuck_clients if not client.has_returned]
        return len(self.stuck_clients)

    def has_stuck_client(self, company_id: str) -> bool:
        """Whether an old client of this company may still hold its socket. Starting a second one would fork the Signal session."""
        self.count_stuck_clients()
        return any(company == company_id and not client.has_left for company, client in self.stuck_clients)

    def path_of(self, company_id: str) -> Path:
        """Return the path of the company's device file."""
        return self.devices / f"{company_id}.db"
