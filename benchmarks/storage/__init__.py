"""``python -m benchmarks storage``: what auth state in Postgres costs, beside what a user would otherwise have.

Everything of wasup goes its real way: the storage actor, the daemon's pool, an embedded server with the daemon's settings. Beside it, in
interleaved rounds on the same filesystem: plain asyncpg, Baileys' own files read by real Baileys, and files written safely. Figures are
medians over the rounds, a ratio is the median of the ratios within a round. The exit status is 1 when a bar was missed.
"""

from __future__ import annotations

from benchmarks.storage.command import main

__all__ = ["main"]
