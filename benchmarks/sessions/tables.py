"""The figures as tables: a column for each number of companies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.footprint import PARTS, Footprint
from benchmarks.linking import AT_ONCE
from benchmarks.report import print_table
from benchmarks.sessions.figures import MIB, Figures
from benchmarks.sessions.messages import MESSAGES_PER_S

Line = tuple[str, Callable[[Figures], str]]

TIMES: Final[tuple[Line, ...]] = (
    (f"linking by QR, {AT_ONCE} at once", lambda one: f"{one.link_s:.1f} s"),
    ("SIGTERM to exit", lambda one: f"{one.stop_s:.2f} s"),
    ("start to serving HTTP", lambda one: f"{one.listening_s:.2f} s"),
    ("start to all connected, no pairing", lambda one: f"{one.connected_s:.1f} s"),
    ("idle", lambda one: f"{100 * sum(one.idle_cpu.values()):.1f} % of a core"),
    (
        "one engine process killed: its companies back",
        lambda one: f"{one.killed_companies} in {one.engine_back_s:.1f} s",
    ),
    ("  log-ins of other companies meanwhile", lambda one: f"{one.others_dropped}"),
    ("Postgres killed: the next send acknowledged", lambda one: f"{one.postgres_back_s:.1f} s"),
    ("  connections to WhatsApp lost by it", lambda one: f"{one.postgres_logins}"),
    ("WhatsApp drops everyone: all back", lambda one: f"{one.drop_back_s:.1f} s"),
    ("  most log-ins in a second", lambda one: f"{one.drop_most_logins_per_s:.0f}"),
)


def print_figures(runs: Sequence[Figures]) -> None:
    """Print times and latencies by number of companies, then each run's memory."""
    header = ["", *(f"{run.companies} companies" for run in runs)]
    print_table(header, [[title, *(tell(run) for run in runs)] for title, tell in TIMES])
    for run in runs:
        _print_latencies(run)
        _print_memory(run)


def _print_latencies(run: Figures) -> None:
    print(f"\n{run.companies} companies, {MESSAGES_PER_S} messages a second over all")
    print(f"  first to a number  {run.first_messages}")
    print(f"  later              {run.messages}")


def _print_memory(run: Figures) -> None:
    rows = [_memory_row(f"{linked} connected, idle", each) for linked, each in run.idle.items()]
    for title, each in (("after a restart", run.restarted), ("after messages and faults", run.busy)):
        if each is not None:
            rows.append(_memory_row(f"{run.companies} connected, {title}", each))
    slopes = [f"{run.company_mb(part):.2f}" for part in (*PARTS, None)]
    rows.append(["one more company", *slopes])
    print_table(["memory (PSS), MB (processes)", *PARTS, "all"], rows)


def _memory_row(title: str, each: Footprint) -> list[str]:
    cells = [f"{each.pss_bytes[part] / MIB:.1f} ({each.processes[part]})" for part in PARTS]
    return [title, *cells, f"{each.total_bytes / MIB:.1f}"]
