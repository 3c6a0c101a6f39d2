"""Load, before it is needed, what an engine process loads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from actors.engine_pool import checking
from actors.engine_pool.checking import EngineUnusable, check_engine


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A Python that does something else."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_here_it_can_be_loaded() -> None:
    """Nothing is raised."""
    check_engine(os.environ)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'a traceback' >&2; echo 'no such library' >&2; exit 3", "no such library"),
        ("exit 3", "ended with status 3"),
        ("kill -SEGV $$", "ended with status -11"),
    ],
)
def test_why_it_cannot_be_loaded_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    """The last output of the process that tried, or how it ended: a library may end the process that loads it."""
    fake(tmp_path, monkeypatch, script)

    with pytest.raises(EngineUnusable, match=reason):
        check_engine(os.environ)


def test_a_look_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check does not wait for ever."""
    fake(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(checking, "CHECK_WITHIN_S", 0.2)

    with pytest.raises(EngineUnusable, match="not loaded within"):
        check_engine(os.environ)
