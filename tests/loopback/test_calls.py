"""Calls to real neonize clients, and their rejection."""

from __future__ import annotations

import pytest
import trio

from tests.loopback.loopback import Loopback
from tests.loopback.peers import Peers
from tests.loopback.users import LIDS, PHONES, link, state, until

pytestmark = pytest.mark.slow
A, B = PHONES["a"], PHONES["b"]


async def test_a_call_rings_and_ends(loopback: Loopback, neonize: Peers) -> None:
    """All devices get the offer and the end of the call, with the reason; they acknowledge both."""
    await link(loopback, neonize, "b")
    call = loopback.offer_call(A, B, video=True)
    offer = await neonize.event("b", "call")
    loopback.end_call(call, "accepted_elsewhere")
    end = await neonize.event("b", "call")

    assert (offer.id, offer.type, offer.sender) == (call, "offer", f"{LIDS['a']}@lid")
    assert (end.id, end.type, end.reason) == (call, "terminate", "accepted_elsewhere")
    await until(loopback, lambda: state(loopback, "b").waiting == 0)
    assert [one.outcome for one in loopback.calls()] == ["accepted_elsewhere"]


async def test_a_client_rejects(loopback: Loopback, neonize: Peers) -> None:
    """The device rejects the call, and the other device of its account hears that it was rejected elsewhere."""
    await link(loopback, neonize, "b")
    await link(loopback, neonize, "b", "b2")
    call = loopback.offer_call(A, B)
    offer = await neonize.event("b", "call")
    await neonize.event("b2", "call")

    await neonize.reject_call("b", offer.sender, call)
    told = await neonize.event("b2", "call")

    rejected = loopback.calls()[0]
    assert (rejected.outcome, rejected.rejected_by) == ("rejected", f"{B}:1@s.whatsapp.net")
    assert (told.type, told.reason) == ("terminate", "rejected_elsewhere")
    assert neonize.pending("b", "call") == []


async def test_a_call_waits_for_a_device_that_is_away(loopback: Loopback, neonize: Peers) -> None:
    """Offer and end come together when it logs in: a missed call."""
    await link(loopback, neonize, "b")
    await neonize.close("b")
    await until(loopback, lambda: not state(loopback, "b").logged_in)
    call = loopback.offer_call(A, B)
    loopback.end_call(call, "timeout")

    await neonize.open("b")

    heard = [await neonize.event("b", "call") for _ in range(2)]
    assert [(one.type, one.reason) for one in heard] == [("offer", ""), ("terminate", "timeout")]


async def test_an_unknown_call_cannot_end(loopback: Loopback) -> None:
    """It is refused by its id, and no device hears of it."""
    with pytest.raises(ValueError, match="no call X"):
        loopback.end_call("X")
    await trio.lowlevel.checkpoint()
