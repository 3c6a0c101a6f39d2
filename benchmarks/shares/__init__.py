"""``python -m benchmarks shares``: how long one company's sends take while another company's key takes all it may of a shared limit.

The benchmark runs the installed `wasup run` with its embedded Postgres and a loopback WhatsApp. Company B sends texts, one after the
other, with a key of its own: in turns alone, and while company A's key holds all it gets of one limit and asks for one more ten times a
second. Both turns of a limit follow each other directly, because the speed of a machine changes from hour to hour. The bar: B's p99 beside
A stays below twice B's p99 alone.

It measures the sharing of places. Shares bound places, not processor time: a key that sends as fast as it can slows others down on the
same cores, as `python -m benchmarks api` shows with its 20 companies.
"""

from __future__ import annotations

from benchmarks.shares.command import main

__all__ = ["main"]
