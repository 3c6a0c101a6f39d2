"""What the company sessions of one engine process share."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from actors.engine.device.schema import Template
from actors.engine.device.sqlite import Sqlite
from actors.engine.whatsmeow.client import Client
from actors.engine.whatsmeow.client_map_lock import Gate
from actors.engine.whatsmeow.library import WhatsAppLibrary
from config.reserve import Reserve

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_of_this_machine(path: Path = _BOOT_ID) -> str:
    """Another one after each start of the machine; after each call where the kernel does not say."""
    try:
        return path.read_text().strip()
    except OSError:
        return uuid.uuid4().hex


@final
@dataclass(slots=True, kw_only=True)
class Host:
    """The loaded library and the process's books."""

    library: WhatsAppLibrary
    sqlite: Sqlite
    template: Template
    devices: Path
    max_companies: int
    reserve: Reserve
    """Room for those who have to finish when there is none."""
    gate: Gate = field(default_factory=Gate)
    boot: str = field(default_factory=boot_of_this_machine)
    companies: set[str] = field(default_factory=set[str])
    clients_made: int = 0
    clients_ended: int = 0
    left_behind: list[tuple[str, Client]] = field(default_factory=list[tuple[str, Client]])
    """Clients whose thread is still in the library though they were stopped, with their companies."""

    def next_client_name(self, company_id: str) -> str:
        """A name the library has never had."""
        self.clients_made += 1
        return f"{company_id}#{self.clients_made}"

    def note_ended(self, company_id: str, client: Client) -> None:
        """A client was stopped, or is stuck."""
        self.clients_ended += 1
        if not client.has_returned:
            self.left_behind.append((company_id, client))

    def stuck_clients(self) -> int:
        """How many threads were left behind in the library for good (or so far)."""
        self.left_behind = [(company, client) for company, client in self.left_behind if not client.has_returned]
        return len(self.left_behind)

    def is_haunted(self, company_id: str) -> bool:
        """Whether an earlier client of this company never let go of its socket: a second one beside it would fork the ratchets."""
        self.stuck_clients()
        return any(company == company_id and not client.has_left for company, client in self.left_behind)

    def path_of(self, company_id: str) -> Path:
        """The company's device file."""
        return self.devices / f"{company_id}.db"
