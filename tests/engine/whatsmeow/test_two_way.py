"""Messages in both directions over one session, at the same time."""

from __future__ import annotations

from pathlib import Path

from tests.engine.two_way import Outcome, converse

EACH_WAY = 100


async def test_nothing_is_lost_when_both_sides_write_at_once(tmp_path: Path) -> None:
    """Every text arrives once, readable at the first try, and no send fails. tests/chaos has the long run."""
    outcome = await converse(tmp_path, EACH_WAY)

    assert outcome == Outcome(acknowledged=2 * EACH_WAY, failed=0, lost=0, twice=0, undecryptable=0, retries=0)
