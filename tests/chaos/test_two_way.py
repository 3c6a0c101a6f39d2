"""Thousands of messages each way over one Signal session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.two_way import converse

pytestmark = pytest.mark.chaos

EACH_WAY = 3000


async def test_thousands_each_way_over_one_session(tmp_path: Path) -> None:
    """None is lost or comes twice, no send fails; messages that could not be read at the first try are counted."""
    outcome = await converse(tmp_path, EACH_WAY)
    print(outcome)

    assert (outcome.acknowledged, outcome.failed, outcome.lost, outcome.twice) == (2 * EACH_WAY, 0, 0, 0)
    assert outcome.undecryptable == 0
