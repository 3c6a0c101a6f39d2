"""``python -m benchmarks api``: what the API costs beside the bare library, and what a hundred readers of events get.

The installed `wasup run` with its embedded Postgres and bare neonize (one process, device files in WAL mode) send the same texts through
the same loopback WhatsApp to the same phone, in interleaved rounds. wasup's way is the whole one: HTTP, actor, engine process,
WhatsApp's acknowledgement, commit of the state it used.
"""

from __future__ import annotations

from benchmarks.api.command import main

__all__ = ["main"]
