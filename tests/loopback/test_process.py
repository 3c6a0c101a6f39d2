"""The loopback as a process of its own, controlled from outside."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest
import trio

from tests.loopback.endpoints import ROOT_KEY_VARIABLE, SITECUSTOMIZE, Endpoints
from tests.loopback.peers import start_neonize
from tests.loopback.remote import ROOT, LoopbackError, start_loopback

pytestmark = pytest.mark.slow
PHONE, LID = "79000000001", "100000000000001"


async def test_a_client_links_to_a_loopback_in_another_process(tmp_path: Path) -> None:
    """Accounts, scans, faults and connections go through the control socket."""
    async with start_loopback() as loopback, start_neonize(loopback.endpoints, tmp_path) as neonize:
        await loopback.add_account(PHONE, LID)
        await neonize.open("a")
        jid = await loopback.scan(PHONE, (await neonize.event("a", "qr")).qr)
        device = await loopback.wait_logged_in(PHONE)
        await loopback.fault("drop", phone=PHONE)
        await loopback.wait_until(lambda counters: counters["logins"] == 2)

        assert jid == device.jid == f"{PHONE}:1@s.whatsapp.net"
        assert (await loopback.counters())["pairings"] == 1
        assert await loopback.routed() == []


async def test_bad_calls_are_told_apart() -> None:
    """What the loopback refuses comes back as an error with its reason, and the connection goes on."""
    async with start_loopback() as loopback:
        with pytest.raises(LoopbackError, match="ValueError: no such call: 'explode'"):
            await loopback.fault("explode")
        with pytest.raises(LoopbackError, match=r"TypeError: .*unexpected keyword argument 'number'"):
            await loopback.fault("drop", number=1)
        with pytest.raises(LoopbackError, match="ValueError: no account"):
            await loopback.scan(PHONE, "a,b,c,d")
        assert await loopback.connections() == 0


async def test_a_cancelled_call_leaves_no_answer_behind() -> None:
    """The next call on the same connection gets its own answer."""
    async with start_loopback() as loopback:
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(loopback.devices)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

            assert (await loopback.counters())["logins"] == 0


async def test_it_ends_with_its_owner() -> None:
    """When the standard input ends because the parent is gone, the process ends by itself and with success."""
    command = [sys.executable, "-m", "tests.loopback"]

    with trio.fail_after(20):
        ended = await trio.run_process(command, stdin=b"", capture_stdout=True, cwd=ROOT)

    assert ended.returncode == 0
    assert msgspec.json.decode(ended.stdout, type=Endpoints).proxy_url.startswith("http://127.0.0.1:")


def test_the_environment_keeps_what_was_there() -> None:
    """An inherited PYTHONPATH stays behind ours."""
    endpoints = Endpoints(proxy_url="", websocket_url="", ca_file="/ca.pem", root_key="00")

    environment = endpoints.environment({"PYTHONPATH": "/other", "HOME": "/home"})

    assert environment["PYTHONPATH"] == f"{SITECUSTOMIZE}{os.pathsep}/other"
    assert (environment["HOME"], environment["SSL_CERT_FILE"], environment[ROOT_KEY_VARIABLE]) == (
        "/home",
        "/ca.pem",
        "00",
    )
