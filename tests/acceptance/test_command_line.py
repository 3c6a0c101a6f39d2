"""The command line beside a running daemon: link, look, send."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from typing import Any

import msgspec
import trio

from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.daemon import PROGRAM
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

A, BY_QR, BY_CODE, NOBODY = (User(number) for number in range(1, 5))
PLAN = Plan(companies=(A,), others=(BY_QR, BY_CODE, NOBODY), settings={"WASUP_COMPANY_PAIRING_TIMEOUT_S": "6"})


class Linker:
    """A running `wasup link` and what it has printed so far."""

    def __init__(self) -> None:
        self.printed = ""
        self.status: int | None = None

    async def run(self, site: Site, *arguments: str) -> None:
        """Run the command to its end."""
        async with trio.open_nursery() as nursery:
            command = [str(PROGRAM), "link", *arguments]
            run = partial(
                trio.run_process,
                command,
                env=site.daemon.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            process: trio.Process = await nursery.start(run)
            assert process.stdout is not None
            async for chunk in process.stdout:
                self.printed += chunk.decode()
            self.status = await process.wait()

    async def found(self, pattern: str, *, within: float = 20.0) -> str:
        """Wait for the first match of ``pattern`` in its output, and return it."""

        async def look() -> str | None:
            await trio.lowlevel.checkpoint()
            match = re.search(pattern, self.printed)
            return match and match[0]

        return await eventually(f"`wasup link` to print {pattern}", look, within=within) or ""


async def test_linking_by_qr_in_the_terminal(site: Site, api: Api, loopback: RemoteLoopback) -> None:
    """The QR is drawn; after the scan the command says so, says when it is linked, and ends with 0."""
    linker = Linker()
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(linker.run, site, BY_QR.company)
            await linker.found("[█▀▄]{20}")
            (shown,) = await api.events(company=BY_QR.company, kind="qr")
            await loopback.scan(BY_QR.phone, shown["payload"]["qr"])

    assert linker.status == 0, linker.printed
    assert "accepted" in linker.printed
    assert f"linked: company {BY_QR.company}" in linker.printed


async def test_linking_by_code_in_the_terminal(site: Site, loopback: RemoteLoopback) -> None:
    """The code is printed; typed into the phone, the company is linked."""
    linker = Linker()
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(linker.run, site, BY_CODE.company, "--phone", f"+{BY_CODE.phone}")
            code = await linker.found("[A-Z0-9]{4}-[A-Z0-9]{4}")
            await loopback.confirm_code(BY_CODE.phone, code)

    assert linker.status == 0, linker.printed


async def test_a_qr_that_nobody_scans_expires(site: Site) -> None:
    """The command says so and ends with its own exit code."""
    linker = Linker()
    with trio.fail_after(40):
        await linker.run(site, NOBODY.company)

    assert linker.status == 8, linker.printed
    assert "expired" in linker.printed or "in time" in linker.printed


async def test_sessions_and_tree_show_what_runs(site: Site) -> None:
    """For people and, with --json, for scripts."""
    sessions = await site.wasup("sessions", "--json")
    tree = await site.wasup("tree")

    listed = msgspec.json.decode(sessions.stdout, type=dict[str, Any])["sessions"]
    assert {"companyId": A.company, "status": "connected"}.items() <= listed[0].items()
    for actor in ("storage", "events", "engine-0", A.company, "directory", "http"):
        assert actor in tree.stdout


async def test_sending_from_the_shell(site: Site, api: Api) -> None:
    """The message arrives; a bad number is refused with the exit code for it."""
    sent = await site.wasup("send", A.company, f"+{BY_QR.phone}", "from the shell", "--json")
    refused = await site.wasup("send", A.company, "+7900", "from the shell")
    message_id = msgspec.json.decode(sent.stdout, type=dict[str, Any])["messageId"]

    assert (await api.message(BY_QR.company, message_id))["text"] == "from the shell"
    assert (refused.returncode, refused.stdout) == (6, "")


async def test_check_config_shows_the_settings_in_effect(site: Site) -> None:
    """Each with its source; secrets are hidden."""
    checked = await site.wasup("check-config")

    assert checked.returncode == 0, checked.stderr
    assert "pairing_timeout_s" in checked.stdout
    assert "127.0.0.1" in checked.stdout


async def test_a_second_daemon_on_the_same_state_directory_is_refused(site: Site) -> None:
    """One clear sentence, and the running one goes on."""
    second = await site.wasup("run")

    assert second.returncode == 1
    assert str(site.daemon.pid) in second.stderr
    assert (await site.wasup("sessions")).returncode == 0
