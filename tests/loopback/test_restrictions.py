"""Accounts that may write only to people who wrote to them."""

from __future__ import annotations

import json
import time

import pytest
import trio

from actors.linker.wire.nodes import Node
from tests.loopback.accounts import Device, Directory
from tests.loopback.loopback import Loopback
from tests.loopback.peers import PeerError, Peers
from tests.loopback.restrictions import Restrictions
from tests.loopback.users import PHONES, greet, link, state, until


@pytest.mark.slow
@pytest.mark.parametrize("code", [463, 475])
async def test_a_restricted_account_answers_only(loopback: Loopback, neonize: Peers, code: int) -> None:
    """Its message to an account that never wrote gets the error and is not delivered; to one that did, it arrives."""
    async with trio.open_nursery() as nursery:
        for user in "ab":
            nursery.start_soon(link, loopback, neonize, user)
    loopback.restrict(PHONES["a"], code=code, expires_in_s=3600)

    with pytest.raises(PeerError, match=f"server returned error {code}"):
        await neonize.send("a", PHONES["b"], "hello stranger")
    refused = neonize.pending("b", "message")
    await greet(neonize, "b", "a")
    await greet(neonize, "a", "b", "an answer")

    assert refused == []
    await until(loopback, lambda: state(loopback, "a").waiting == 0)  # it acknowledged the notice


@pytest.mark.slow
async def test_a_restriction_ends(loopback: Loopback, neonize: Peers) -> None:
    """When it is lifted the same message arrives."""
    async with trio.open_nursery() as nursery:
        for user in "ab":
            nursery.start_soon(link, loopback, neonize, user)
    loopback.restrict(PHONES["a"], silently=True)
    with pytest.raises(PeerError, match="463"):
        await neonize.send("a", PHONES["b"], "too early")
    loopback.lift(PHONES["a"])

    await greet(neonize, "a", "b", "now")


def test_the_notice_is_whatsapps(directory: Directory) -> None:
    """A mex notification: the operation's name, and JSON with the kind, whether it holds, and its end in Unix seconds as text."""
    account = directory.add("79000000001", "100000000000001", "a")
    account.devices[1] = Device(1, account, b"", account.keys, "android")
    told: list[Node] = []
    restrictions = Restrictions()

    restrictions.restrict(account, lambda _, notice: told.append(notice), code=463, expires_in_s=60, silently=False)
    restrictions.lift(account, lambda _, notice: told.append(notice))

    updates = [
        json.loads(notice.child("update").data)["data"]["xwa2_notify_account_reachout_timelock"] for notice in told
    ]
    assert {(notice.text("type"), notice.child("update").text("op_name")) for notice in told} == {
        ("mex", "NotificationUserReachoutTimelockUpdate")
    }
    assert [update["is_active"] for update in updates] == [True, False]
    assert 50 < int(updates[0]["time_enforcement_ends"]) - time.time() < 70


def test_a_restriction_expires(directory: Directory) -> None:
    """After its time it refuses nothing; an unknown code is refused at once."""
    a, b = (directory.add(f"7900000000{number}", f"10000000000000{number}", "") for number in (1, 2))
    restrictions = Restrictions()
    restrictions.restrict(a, _silent, code=475, expires_in_s=3600, silently=True)
    held = restrictions.refusal(a, b)
    restrictions.restrict(a, _silent, code=475, expires_in_s=-1, silently=True)

    assert (held, restrictions.refusal(a, b), restrictions.refusal(a, a)) == ("475", "", "")
    with pytest.raises(ValueError, match="none of"):
        restrictions.restrict(a, _silent, code=400, expires_in_s=None, silently=True)


@pytest.fixture
def directory() -> Directory:
    """No accounts yet."""
    return Directory()


def _silent(_device: Device, _notice: Node) -> None:
    """For restrictions that happen silently: no device is notified."""
    raise AssertionError("it was to happen silently")
