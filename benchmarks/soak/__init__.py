"""``python -m benchmarks soak``: whether anything grows that must not, in an hour of traffic, churn and faults (D5).

It runs a real daemon, real engines, the embedded Postgres and the loopback WhatsApp. Companies send and receive all the time, others are
made, linked, used and deleted every few seconds, and a nemesis (tests/chaos/nemesis.py) injects faults at random. The resources in use are
sampled every few seconds; their slope after a warm-up must be zero.
"""

from __future__ import annotations

from benchmarks.soak.command import main

__all__ = ["main"]
