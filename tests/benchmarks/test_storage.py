"""How the storage benchmark judges, what it compares with, and that a small run of it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.storage import committing, loading
from benchmarks.storage.bars import Bar, bars, judge
from benchmarks.storage.command import main
from benchmarks.storage.committing import Committing, baseline, name_of
from benchmarks.storage.files import read_blocking, write_safely
from benchmarks.storage.loading import Loading
from benchmarks.storage.node import open_baileys
from benchmarks.storage.place import filesystem_of, open_place
from benchmarks.storage.raw import WAYS
from benchmarks.storage.rounds import Rounds, quantile
from benchmarks.storage.sample import make_sample
from storage.baileys.names import CREDS_FILE
from tests.support.postgres import reachable_directory


def _loading(keys: int, ours_ms: float) -> Loading:
    found = Loading(no_node="there is none")
    times = found.loads[keys] = Rounds()
    for name in (loading.PYTHON_ROWS, loading.PYTHON_FILES):
        times.add(name, 20.0)
    times.add(loading.OURS.format(way="plain"), ours_ms)
    found.writes.add(loading.SAFELY, 100.0)
    found.writes.add(loading.COMMIT.format(way="plain"), 2.0)
    return found


def _committing(writers: int) -> Committing:
    found = Committing((writers,))
    for way in WAYS:
        found.rates.add(way.title, 100.0 * way.rows)
    for keys in (1, committing.SENT):
        found.rates.add(name_of("plain", writers, keys), 50_000.0 * keys)
    found.rates.add(baseline(committing.ALONE, writers), 4_000.0)
    return found


def test_a_ratio_is_of_values_of_one_round() -> None:
    """A round in which the machine was slow for both gives the same ratio as the others."""
    rounds = Rounds()
    for slowness in (1.0, 1.0, 9.0):
        rounds.add("ours", 2.0 * slowness)
        rounds.add("theirs", 20.0 * slowness)

    assert rounds.times("theirs", "ours") == 10.0
    assert rounds.median("ours") == 2.0


def test_quantiles_are_of_what_was_measured() -> None:
    """The nearest value, not something in between; one value is every quantile."""
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(number) for number in range(101)], 0.99) == 99.0
    assert quantile([7.0], 0.99) == 7.0


def test_bars_hold_for_the_sizes_they_are_for() -> None:
    """A run with other numbers of writers and keys is judged only by bars that do not depend on them."""
    of_all = bars(_committing(256), _loading(335, 1.0))
    of_few = bars(_committing(4), _loading(100, 1.0))

    assert [(bar.found, bar.least) for bar in of_all] == [
        (12.5, 20.0),
        (37.5, 20.0),
        (0.5, 0.7),
        (1.5, 0.7),
        (20.0, 10.0),
        (20.0, 10.0),
        (50.0, 15.0),
    ]
    assert [(bar.found, bar.least) for bar in of_few] == [(50.0, 15.0)]


def test_a_missed_bar_is_said_and_returned(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is that of the worst."""
    met, missed = Bar("this", 10.0, 10.0), Bar("that", 9.99, 10.0)

    assert (judge([met]), judge([met, missed])) == (0, 1)
    assert "that: 9.99 x, bar 10 x: MISSED" in capsys.readouterr().out


def test_a_sample_has_the_same_keys_in_both_forms(tmp_path: Path) -> None:
    """As many files as keys, each with a name that Baileys asks for, and all of them read."""
    sample = make_sample(tmp_path / "auth", 120)

    assert len(sample.changes) == len(sample.files) == 120
    assert sum(map(len, sample.keys_of(sample.files).values())) == 120
    assert len(read_blocking(sample)) == 120
    assert (sample.directory / CREDS_FILE).exists()


@pytest.mark.parametrize("sync_each", [True, False])
def test_files_are_written_whole(tmp_path: Path, sync_each: bool) -> None:
    """Over the existing ones, and nothing is left beside them."""
    (tmp_path / "a.json").write_bytes(b"old")

    write_safely(tmp_path, {"a.json": b"new", "b.json": b"other"}, sync_each=sync_each)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.json": b"new", "b.json": b"other"}


def test_a_place_is_of_one_filesystem_and_gone_afterwards(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It says where it is and what a flush costs there."""
    with open_place(tmp_path) as place:
        place.print()

        assert place.directory.parent == tmp_path
        assert place.filesystem == filesystem_of(tmp_path)

    assert not place.directory.exists()
    assert f"Postgres and files in {tmp_path} ({place.filesystem})" in capsys.readouterr().out


async def test_a_machine_without_node_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is no Baileys to compare with, and the reason takes its place."""
    monkeypatch.setenv("PATH", "")

    async with open_baileys() as baileys:
        assert baileys == "node is not installed: a real Baileys needs Node 20+ and npm"


@pytest.mark.parametrize("wrong", [["--rounds", "0"], ["--keys", "9"], ["--rows", "10"], ["--seconds", "0"]])
def test_sizes_that_say_nothing_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit):
        main(wrong)

    assert "must be at least" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_run_prints_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Every part of it is there, and the exit status agrees with the verdicts."""
    directory = reachable_directory()
    small = {"rounds": 1, "seconds": 0.02, "writers": 2, "keys": 100, "rows": 1000, "companies": 3}

    status = main([f"--{name}={value}" for name, value in {**small, "directory": directory}.items()])

    printed = capsys.readouterr().out
    expected = [
        name_of("sealed", 2, committing.SENT),
        *(baseline(name, 2) for name in committing.BASELINES),
        *(way.title for way in WAYS),
        "the fastest statement: ",
        loading.NODE,
        loading.PYTHON_ROWS,
        loading.PYTHON_FILES,
        loading.PYTHON_BLOCKING,
        loading.OURS.format(way="sealed"),
        loading.SAFELY,
        loading.NODE_WRITES,
        "SELECT one key",
        "COUNT of all",
        "plain, each once a second",
        "sealed, each as fast as it is answered",
        "100 keys, sealed",
        "fsync on, synchronous_commit on",
    ]
    assert [one for one in expected if one not in printed] == []
    assert (status == 1) == ("MISSED" in printed)
    directory.rmdir()  # nothing is left in it
