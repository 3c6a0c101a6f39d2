"""How benchmarks are found, and how the cost of one more company is calculated."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

import pytest
import trio

from benchmarks.__main__ import TERMINATED, WRONG_USAGE, main
from benchmarks.footprint import PARTS, Footprint
from benchmarks.sessions.bars import judge
from benchmarks.sessions.figures import MIB, Figures, Latencies
from tests.support.eventually import eventually
from tests.support.processes import alive, command_line, descendants


def _footprint(**megabytes: int) -> Footprint:
    pss = {part: megabytes.get(part, 0) * MIB for part in PARTS}
    return Footprint(processes=dict.fromkeys(PARTS, 1), pss_bytes=pss, cpu_s=dict.fromkeys(PARTS, 0.0))


def test_an_unknown_name_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name ends with the usage status and the names there are."""
    status = main(["nonsense"])

    assert status == WRONG_USAGE
    assert "sessions" in capsys.readouterr().err


def test_without_the_tests_tools_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after `make run`, which installs only what the daemon needs."""

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'trustme'", name="trustme")

    monkeypatch.setattr("benchmarks.__main__._benchmarks", missing)

    assert main(["sessions"]) == WRONG_USAGE
    assert capsys.readouterr().err == (
        "trustme is not installed: benchmarks use the tests' tools; run: python3 deploy/venv.py dev\n"
    )


def test_the_cost_of_a_company_is_the_slope_of_the_last_two_steps() -> None:
    """The fixed cost of the first company is no part of the cost of one more."""
    figures = Figures()
    figures.idle[1] = _footprint(daemon=500)
    figures.idle[10] = _footprint(daemon=50, engines=60)
    figures.idle[100] = _footprint(daemon=140, engines=150)

    assert figures.company_mb() == 2.0
    assert figures.company_mb("engines") == 1.0


def test_quantiles_are_of_what_was_acknowledged() -> None:
    """The 99th of 100 in order, not the slowest; without a send there is no latency."""
    latencies = Latencies(tuple(number / 1000 for number in range(101)), failed=3)

    assert (latencies.quantile(0.5), latencies.quantile(0.99)) == (0.05, 0.099)
    assert Latencies((), failed=1).quantile(0.99) == 0.0


def test_a_missed_bar_is_said_and_returned(capsys: pytest.CaptureFixture[str]) -> None:
    """Bars hold from their number of companies on."""
    slow = Figures(companies=1000, connected_s=181.0)
    slow.idle = {10: _footprint(daemon=50), 1000: _footprint(daemon=1000)}

    assert judge([slow]) == 1
    assert "1000 companies: start to all connected: 181 s, bar 180: MISSED" in capsys.readouterr().out
    slow.companies = 10
    assert judge([slow]) == 0


@contextmanager
def _a_benchmark() -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benchmarks", "api", "--companies", "1"]
    # SIGINT is ignored in a shell's background.
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, preexec_fn=ignore) as run:
        try:
            yield run
        finally:
            run.kill()


@pytest.mark.slow
async def test_sigterm_leaves_no_process() -> None:
    """A run that is asked to end takes its daemon, that one's children and the loopback along."""
    with _a_benchmark() as run:

        async def started() -> frozenset[int]:
            pids = descendants(run.pid)
            return pids if any("actors.engine.process" in command_line(pid) for pid in pids) else frozenset()

        children = await eventually("an engine below the benchmark", started, within=120.0)
        run.send_signal(signal.SIGTERM)
        status = await trio.to_thread.run_sync(partial(run.wait, timeout=60.0))

    async def gone() -> bool:
        return not alive(children)

    assert len(children) > 3
    assert status == TERMINATED
    await eventually("all that it started to be gone", gone, within=30.0)
