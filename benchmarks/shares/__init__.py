"""``python -m benchmarks shares``: what one company's sends take while another company's key takes all it may of a shared limit.

The installed `wasup run` with its embedded Postgres and a loopback WhatsApp. Company B sends texts, one after the other, with a key of its
own; in turns alone and while company A's key holds all it gets of one limit and asks for one more ten times a second. Both turns of a limit
come one behind the other, because the same machine differs from hour to hour. The bar: B's p99 beside A stays below twice B's p99 alone.

What is measured is the sharing of places. Shares bound places, not processor time: a key that sends as fast as it can slows others down on
the same cores, which `python -m benchmarks api` shows with its 20 companies.
"""

from __future__ import annotations

from benchmarks.shares.command import main

__all__ = ["main"]
