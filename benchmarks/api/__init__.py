"""``python -m benchmarks api``: what the API costs compared with the bare library, and what a hundred readers of events get.

The installed `wasup run` with its embedded Postgres and bare neonize (one process, device files in WAL mode) send the same texts through
the same loopback WhatsApp to the same phone, in interleaved rounds. wasup's way is the whole one: HTTP, actor, engine process,
WhatsApp's acknowledgement, commit of the state it used. The bare way is `send_message`, which returns at WhatsApp's acknowledgement too.
Both write their device files with SQLite's default synchronous mode, and both send each text with the 32 random bytes that WhatsApp's own
clients put into it (in neonize `add_msg_secret`).

The bars compare with bare neonize's rate for one company: the better of one text after another and of several threads at once. wasup with
one company must reach 0.4 of it, and wasup with all companies together twice that rate. Twice the rate of as many bare clients in parallel
is out of reach for any program that makes the same sends with the same library on the same cores; that ratio is printed as well, and so is
the rate at which the bare sends alone would fill the cores. The use of the processor is printed by process.
"""

from __future__ import annotations

from benchmarks.api.command import main

__all__ = ["main"]
