"""Directories are taken out of use, put back, and written: in steps that a crash can interrupt anywhere."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from storage.baileys import sealing
from storage.baileys.directory import BaileysError, digest_of, read_directory
from storage.baileys.sealing import Tombstone
from storage.baileys.writing import publish, require_free, staging_of, write_directory
from tests.support import baileys as b

STAMP = "20260101T000000Z"


def tombstone(path: Path, **fields: object) -> Tombstone:
    values = {
        "company_id": "962302",
        "digest": "d",
        "moved_to": sealing.moved_name(path, STAMP),
        "backup": "b",
        "sealed_at": STAMP,
    }
    return Tombstone(**{**values, **fields})  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory of Baileys 7."""
    return b.write(tmp_path / "auth", b.directory_v7())


def test_a_sealed_directory_is_a_file(path: Path) -> None:
    """Everything is under its new name; in its old place is a file that says so, for this user alone."""
    digest = read_directory(path).digest

    moved = sealing.seal(path, tombstone(path))

    assert read_directory(moved).digest == digest
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sealing.find_tombstone(path) == tombstone(path)


def test_unsealing_puts_everything_back(path: Path) -> None:
    """Everything is as before."""
    digest = read_directory(path).digest
    before = sorted(path.parent.iterdir())

    sealing.unseal(path, sealing.seal(path, tombstone(path)))

    assert read_directory(path).digest == digest
    assert sorted(path.parent.iterdir()) == before


def test_the_tombstone_tells_when_it_is_done(path: Path) -> None:
    """So that a second run has nothing to do."""
    sealing.seal(path, tombstone(path))
    sealing.mark_done(path, tombstone(path))

    found = sealing.find_tombstone(path)
    assert found is not None
    assert found.is_done


def test_a_directory_between_its_names_is_found(path: Path) -> None:
    """Renamed, and the process ended before the tombstone was there."""
    moved = path.rename(path.with_name(sealing.moved_name(path, STAMP)))

    assert sealing.find_moved(path) == moved


def test_of_two_moved_directories_none_is_guessed(path: Path) -> None:
    """Then the operator has to choose."""
    path.rename(path.with_name(sealing.moved_name(path, STAMP)))
    path.with_name(sealing.moved_name(path, "20270101T000000Z")).mkdir()

    assert sealing.find_moved(path) is None


def test_a_name_that_is_taken_is_not_overwritten(path: Path) -> None:
    """Then nothing is changed."""
    path.with_name(sealing.moved_name(path, STAMP)).mkdir()

    with pytest.raises(BaileysError, match="move it away"):
        sealing.seal(path, tombstone(path))
    assert path.is_dir()


@pytest.mark.parametrize("content", [b"", b"x", b"{}", b'{"companyId":5}'])
def test_any_other_file_is_no_tombstone(tmp_path: Path, content: bytes) -> None:
    """It is an error to import it."""
    (tmp_path / "auth").write_bytes(content)

    with pytest.raises(BaileysError, match="not a directory"):
        sealing.find_tombstone(tmp_path / "auth")


def test_a_backup_holds_every_byte(path: Path) -> None:
    """A tar archive for this user alone, from which the directory can be made again."""
    source = read_directory(path)

    archive = sealing.back_up(source, STAMP)

    with tarfile.open(archive) as opened:
        # Python 3.11.2 of Debian 12 has no filters.
        opened.extraction_filter = getattr(tarfile, "data_filter", None)
        opened.extractall(path.parent / "again")
    assert archive.name == f"auth.backup-{STAMP}.tar"
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert read_directory(path.parent / "again" / "auth").digest == source.digest


def test_a_backup_is_never_overwritten(path: Path) -> None:
    """An error instead, and the old one stays as it was."""
    source = read_directory(path)
    archive = sealing.back_up(source, STAMP)
    before = archive.read_bytes()

    with pytest.raises(BaileysError, match="no backup"):
        sealing.back_up(source, STAMP)
    assert archive.read_bytes() == before


def test_two_imports_exclude_each_other(path: Path) -> None:
    """The second gets an error that says so."""
    with sealing.hold_directory(path), pytest.raises(BaileysError, match="under way"), sealing.hold_directory(path):
        pass
    with sealing.hold_directory(path):
        pass


def test_a_directory_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    """Every file with mode 0600 in a directory of 0700; complete before it has its name."""
    target = tmp_path / "new"
    seen: list[tuple[int, int]] = []

    write_directory(staging_of(target), {"creds.json": b"{}", "a.json": b"1"}, lambda *at: seen.append(at))
    assert not target.exists()
    publish(staging_of(target), target)

    assert read_directory(target).digest == digest_of({"creds.json": b"{}", "a.json": b"1"}.items())
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in target.iterdir()} == {0o600}
    assert seen == [(1, 2), (2, 2)]


def test_a_directory_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """Not even a part."""
    with pytest.raises(BaileysError, match="cannot be written"):
        write_directory(tmp_path / "new", {"a.json": b"1", "x/y": b"2"}, lambda _done, _of: None)

    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_there_is_not_touched(tmp_path: Path) -> None:
    """It is neither written to nor removed."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "x").write_text("x")

    with pytest.raises(BaileysError, match="cannot be made"):
        write_directory(tmp_path / "new", {"a.json": b"1"}, lambda _done, _of: None)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["x"]


def test_only_a_free_place_is_written_to(tmp_path: Path) -> None:
    """A free name, or an empty directory; a directory with files stays untouched."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    require_free(tmp_path / "empty")
    require_free(tmp_path / "new")
    for name in ("full", "full/x", "link", "nowhere/new"):
        with pytest.raises(BaileysError):
            require_free(tmp_path / name)
