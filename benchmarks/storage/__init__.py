"""``python -m benchmarks storage``: what auth state in Postgres costs, compared with what a user would otherwise have.

wasup runs as in production: the storage actor, the daemon's pool, an embedded server with the daemon's settings. It is compared, in
interleaved rounds on the same filesystem, with plain asyncpg, Baileys' own files read by real Baileys, and files written safely. Figures
are medians over the rounds; a ratio is the median of the ratios within a round. The exit status is 1 when a bar was missed.
"""

from __future__ import annotations

from benchmarks.storage.command import main

__all__ = ["main"]
