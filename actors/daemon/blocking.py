"""Who held up the whole daemon: logged by the name of the task, which for an actor is its path."""

from __future__ import annotations

from contextlib import AbstractContextManager

import structlog

from supervisor import report_blocking


def log_blocking(after_s: float) -> AbstractContextManager[None]:
    """Within the block, log each task that let no other run for ``after_s`` seconds."""
    log = structlog.get_logger("wasup.blocking")

    def report(task: str, seconds: float) -> None:
        log.warning("blocked", task=task, seconds=round(seconds, 3))

    return report_blocking(after_s, report)
