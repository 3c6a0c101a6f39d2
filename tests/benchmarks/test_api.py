"""The API benchmark's calculations."""

from __future__ import annotations

import os

from benchmarks.api.requests import Run
from benchmarks.api.usage import COLUMNS, ceiling, usage_row


def test_processor_time_is_told_by_who_used_it_for_each_send() -> None:
    """Rounds are added up first."""
    run = Run()
    run.add(Run(seconds=1.0, took=[0.1] * 2, cpu_s={"bare": 0.003, "loopback": 0.001}))
    run.add(Run(seconds=1.0, took=[0.1] * 2, cpu_s={"bare": 0.005, "loopback": 0.003}))

    row = dict(zip(["name", *COLUMNS, "all"], usage_row("bare", run), strict=True))

    assert (row["name"], row["bare"], row["daemon"], row["loopback"], row["all"]) == (
        "bare", "2.00", "0.00", "1.00", "3.00",
    )  # fmt: skip


def test_the_ceiling_is_what_bare_sends_leave_of_the_cores() -> None:
    """3 ms a send on each of the cores."""
    run = Run(took=[0.1] * 4, cpu_s={"bare": 0.008, "loopback": 0.004, "client": 9.0})

    assert round(ceiling(run) * 0.003, 6) == len(os.sched_getaffinity(0))
