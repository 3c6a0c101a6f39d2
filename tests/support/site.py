"""A WhatsApp and a wasup beside each other: the loopback and the daemon, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import trio

from storage.embedded.server import EmbeddedPostgres
from tests.loopback.endpoints import Endpoints
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.daemon import PROGRAM, Daemon
from tests.support.postgres import reachable_directory

ROOT: Final = Path(__file__).parents[2]
INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True, slots=True)
class User:
    """A person on WhatsApp. Numbered, so that tests can have as many as they need."""

    number: int

    @property
    def company(self) -> str:
        """The company whose number this is."""
        return str(962301 + self.number)

    @property
    def phone(self) -> str:
        """The digits of the phone number."""
        return f"{79000000000 + self.number}"

    @property
    def lid(self) -> str:
        """The digits of the hidden id."""
        return f"{100000000000000 + self.number}"

    @property
    def pn_jid(self) -> str:
        """The address by phone number."""
        return f"{self.phone}@s.whatsapp.net"

    @property
    def lid_jid(self) -> str:
        """The address by hidden id."""
        return f"{self.lid}@lid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a test module needs of its site."""

    companies: Sequence[User] = ()
    """Linked before the first test."""
    others: Sequence[User] = ()
    """On WhatsApp, but not linked."""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Environment variables of the daemon."""
    has_own_database: bool = False
    """The daemon uses a server of the test's (`DATABASE_URL`), which the test may stop and start again."""
    has_pooler: bool = False
    """It reaches that server through a PgBouncer in transaction mode, which the test may kill and start again."""


@dataclass(frozen=True, slots=True)
class Site:
    """A running loopback WhatsApp, a daemon that uses it, and a directory for the tests' own files."""

    endpoints: Endpoints
    daemon: Daemon
    directory: Path

    @property
    def temporary(self) -> Path:
        """Where the daemon puts temporary files."""
        return self.directory / "tmp"

    @property
    def dsn(self) -> str:
        """Of the daemon's embedded server, for looking into it."""
        return EmbeddedPostgres(self.daemon.state_dir / "postgres").dsn

    async def wasup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the installed `wasup` to its end; it has 60 s."""
        with trio.fail_after(60.0):
            done = await trio.run_process(
                [str(PROGRAM), *arguments],
                env=self.daemon.environment,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def open_site(settings: Mapping[str, str]) -> Generator[Site]:
    """Start the loopback in this block; the daemon is ready to be started. Both are ended after it."""
    directory = reachable_directory()
    (directory / "tmp").mkdir(mode=0o1777)
    (directory / "tmp").chmod(0o1777)
    try:
        with _loopback_process() as endpoints:
            environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
            environment |= {"WASUP_PROXY": endpoints.proxy_url, "WASUP_BIND": "127.0.0.1:0"}
            environment |= {"WASUP_DEFAULT_REGION": "RU", **settings}
            environment |= {"TMPDIR": str(directory / "tmp")}
            daemon = Daemon(directory / "state", endpoints.environment(environment), directory / "daemon.log")
            try:
                yield Site(endpoints, daemon, directory)
            finally:
                daemon.end()
    finally:
        shutil.rmtree(directory)


@contextmanager
def _loopback_process() -> Generator[Endpoints]:
    command = [sys.executable, "-m", "tests.loopback"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None, "started with a pipe"
        try:
            yield msgspec.json.decode(process.stdout.readline(), type=Endpoints)
        finally:
            process.terminate()


async def join_whatsapp(loopback: RemoteLoopback, users: Sequence[User]) -> None:
    """Give each a number on the loopback."""
    for user in users:
        await loopback.add_account(user.phone, user.lid)


async def link_by_qr(api: Api, loopback: RemoteLoopback, user: User) -> None:
    """Link a company by QR code and wait until it is connected."""
    offered = await api.post(f"{SESSIONS}/{user.company}/initialize", {"method": "qr"})
    await loopback.scan(user.phone, offered["qr"])
    await api.wait_connected(user.company)
