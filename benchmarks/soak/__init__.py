"""``python -m benchmarks soak``: whether anything grows that should not, in an hour of traffic, churn and faults (D5).

A real daemon, real engines, the embedded Postgres and the loopback WhatsApp. Companies send and are written to all the time, others are
made, linked, used and deleted every few seconds, and a nemesis (tests/chaos/nemesis.py) breaks things at random. What is held is sampled
every few seconds; its slope after a warm-up must be zero.
"""

from __future__ import annotations

from benchmarks.soak.command import main

__all__ = ["main"]
