"""Companies are linked by the linker: with and without a passkey, and through each way in which the exchange can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.acceptance.peer import Peer, open_peers
from tests.loopback.authenticator import SoftPasskey
from tests.loopback.peers import start_neonize
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.daemon import PROGRAM
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

PLAIN, BY_CODE, GUARDED, STOPPED, KILLED, TYPED, OUTSIDER = (User(number) for number in range(1, 8))
PLAN = Plan(
    companies=(PLAIN,), others=(BY_CODE, GUARDED, STOPPED, KILLED, TYPED, OUTSIDER), settings={"WASUP_LINKER": "python"}
)


async def wanted(api: Api, loopback: RemoteLoopback, user: User) -> tuple[SoftPasskey, dict[str, Any]]:
    """A company whose account asks for its passkey, and what the API says of it."""
    passkey = SoftPasskey()
    await loopback.require_passkey(user.phone, passkey.credential, passkey.public_key)
    offered = await api.post(f"{SESSIONS}/{user.company}/initialize", {"method": "qr"})
    await loopback.scan(user.phone, offered["qr"])
    await wait_for(api, user, "passkey")
    return passkey, await api.get(f"{SESSIONS}/{user.company}/passkey")


async def wait_for(api: Api, user: User, state: str) -> None:
    async def look() -> bool:
        return bool((await api.status(user.company))["status"] == state)

    await eventually(f"{user.company} to be {state}", look, within=20.0)


@pytest.fixture
async def outsider(site: Site, loopback: RemoteLoopback) -> AsyncGenerator[Peer]:
    """A real client outside wasup, connected."""
    async with open_peers(start_neonize, [OUTSIDER], site, loopback) as (peer,):
        yield peer


def linkers() -> list[int]:
    """The linker processes of these tests' daemons on this machine."""
    found = [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and b"actors.linker.process" in _command(process)
    ]
    assert found
    return found


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


async def respond(api: Api, user: User, response: dict[str, object]) -> tuple[int, dict[str, Any]]:
    answer = await api.call("POST", f"{SESSIONS}/{user.company}/passkey/response", json=response)
    return answer.status_code, answer.json()


async def test_a_plain_account_is_linked_in_an_engine_and_talks(api: Api, outsider: Peer) -> None:
    """By QR code, before this test; the first messages in both directions are read."""
    message_id = await api.send(PLAIN.company, OUTSIDER.phone, "from the company")
    received = await outsider.message(message_id)
    reply_id = await outsider.send(PLAIN, "to the company")
    status = await api.status(PLAIN.company)

    assert received.text == "from the company"
    assert (await api.message(PLAIN.company, reply_id))["text"] == "to the company"
    assert (status["status"], status["phoneNumber"]) == ("connected", f"+{PLAIN.phone}")
    assert status["engine"].startswith("/engines/engine-")


async def test_an_account_with_a_passkey_is_linked_with_one_scan(api: Api, loopback: RemoteLoopback) -> None:
    """A response of another request is refused and changes nothing; the right one connects the company."""
    passkey, told = await wanted(api, loopback, GUARDED)
    refused = await respond(api, GUARDED, passkey.sign({**told["options"], "challenge": "AAAA"}))
    status, _ = await respond(api, GUARDED, passkey.sign(told["options"]))
    await api.wait_connected(GUARDED.company, within=20.0)
    over = await api.call("GET", f"{SESSIONS}/{GUARDED.company}/passkey")
    required = await api.events(company=GUARDED.company, kind="passkey_required")
    untold = [event["type"] for event in await api.events(company=GUARDED.company)]

    assert (told["step"], told["origin"]) == ("response", "https://web.whatsapp.com")
    assert (refused[0], refused[1]["code"]) == (422, "invalid_passkey_response")
    assert status == 200
    assert (over.status_code, over.json()["code"]) == (404, "no_passkey_wanted")
    assert [event["payload"]["options"] for event in required] == [told["options"]]
    assert "passkey_required" not in untold


async def test_the_command_line_leads_through_the_walk(site: Site, loopback: RemoteLoopback) -> None:
    """`wasup link` shows the code, says what WhatsApp asks for, takes the response, refuses a wrong one, and ends when it is linked."""
    passkey = SoftPasskey()
    await loopback.require_passkey(TYPED.phone, passkey.credential, passkey.public_key)
    command = [str(PROGRAM), "link", TYPED.company, "--json"]
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            command, env=site.daemon.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        async with aclosing(json_lines(process)) as lines:
            with trio.fail_after(60):
                await loopback.scan(TYPED.phone, (await anext(lines))["qr"])
                wanted_first = await told(lines, "passkey")
                await process.stdin.send_all(b"nothing of the kind\n")
                wanted_again = await told(lines, "passkey")
                response = json.dumps(passkey.sign(wanted_again["options"])).encode()
                await process.stdin.send_all(response + b"\n")
                linked = await told(lines, "linked")
                status = await process.wait()
        nursery.cancel_scope.cancel()

    assert wanted_first == wanted_again
    assert (status, linked["phoneNumber"]) == (0, f"+{TYPED.phone}")


async def json_lines(process: trio.Process) -> AsyncGenerator[dict[str, Any]]:
    """Its output, one JSON object a line."""
    assert process.stdout is not None
    rest = b""
    async for piece in process.stdout:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)


async def told(lines: AsyncGenerator[dict[str, Any]], state: str) -> dict[str, Any]:
    """The next line about this state."""
    async for line in lines:
        if line.get("state") == state:
            return line
    raise AssertionError(f"it ended before it said {state}")


async def test_a_stop_in_the_walk_leaves_nothing(api: Api, loopback: RemoteLoopback) -> None:
    """Stopped while the passkey is waited for; the response comes too late, and linking begins anew as if for the first time."""
    passkey, told = await wanted(api, loopback, STOPPED)
    await api.post(f"{SESSIONS}/{STOPPED.company}/stop")
    late = await respond(api, STOPPED, passkey.sign(told["options"]))
    again = await wanted(api, loopback, STOPPED)
    await respond(api, STOPPED, again[0].sign(again[1]["options"]))
    await api.wait_connected(STOPPED.company, within=20.0)

    assert (late[0], late[1]["code"]) == (404, "no_passkey_wanted")


async def test_a_linker_that_is_killed_in_the_walk_links_nothing(api: Api, loopback: RemoteLoopback) -> None:
    """The company is unlinked again, nothing is stored, and the next attempt, in another process, links."""
    await wanted(api, loopback, KILLED)
    for pid in linkers():
        os.kill(pid, signal.SIGKILL)
    await wait_for(api, KILLED, "unlinked")
    passkey, told = await wanted(api, loopback, KILLED)
    await respond(api, KILLED, passkey.sign(told["options"]))

    await api.wait_connected(KILLED.company, within=20.0)


async def test_a_daemon_that_is_restarted_in_the_walk_links_nothing(
    site: Site, api: Api, loopback: RemoteLoopback
) -> None:
    """Afterwards the company is unlinked, and a code links it."""
    await wanted(api, loopback, BY_CODE)
    await site.daemon.stop()
    await site.daemon.restart()
    await wait_for(api, BY_CODE, "unlinked")
    offered = await api.post(
        f"{SESSIONS}/{BY_CODE.company}/initialize", {"method": "code", "phone": f"+{BY_CODE.phone}"}
    )
    await loopback.confirm_code(BY_CODE.phone, offered["pairingCode"])
    await wait_for(api, BY_CODE, "passkey")
