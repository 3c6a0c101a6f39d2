"""``python -m benchmarks sessions``: what real sessions of the installed `wasup run` cost, and how fast they recover.

Companies are linked to the loopback WhatsApp (tests/loopback) by QR code with the real engine, real encryption and the
embedded Postgres. With ``--companies 10 100 1000`` it shows how every figure grows.
"""

from __future__ import annotations

from benchmarks.sessions.command import main

__all__ = ["main"]
