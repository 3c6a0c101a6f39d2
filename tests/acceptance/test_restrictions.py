"""WhatsApp lets an account write only to people who wrote to it."""

from __future__ import annotations

import pytest

from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.site import Plan, User

A, B, C = User(1), User(2), User(3)
PLAN = Plan(companies=(A, B, C))


@pytest.mark.parametrize("code", [463, 475])
async def test_a_restricted_account_is_told_apart(api: Api, loopback: RemoteLoopback, code: int) -> None:
    """To a stranger: `account_restricted`, with WhatsApp's number; to one who wrote first, or after the end, the message is sent."""
    await loopback.fault("restrict", phone=A.phone, code=code)
    refused = await api.try_send(A.company, f"+{B.phone}", "to a stranger")
    await api.message(A.company, await api.send(C.company, f"+{A.phone}", "first"))
    answer = await api.send(A.company, f"+{C.phone}", "an answer")
    await loopback.fault("lift", phone=A.phone)

    assert (refused.status_code, refused.json()["code"]) == (422, "account_restricted")
    assert str(code) in refused.json()["detail"]
    assert (await api.message(C.company, answer))["text"] == "an answer"
