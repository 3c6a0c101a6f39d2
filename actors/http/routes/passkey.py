"""Linking an account that requires a passkey, in three steps."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody

from actors.http.access.guards import CompanyId, needs_company, needs_key
from actors.http.access.rate_limit import take_order
from actors.http.model.bodies import ApiRequest
from actors.http.model.passkey_bodies import PasskeyResponseBody
from actors.http.model.responses import PasskeyReply, succeed
from actors.http.openapi.operations import BODY, OF_A_COMPANY, may_answer
from actors.http.services.backends import Backends, Injected, note
from actors.messages import AnswerPasskey, ConfirmPasskey, GetPasskey, Passkey

_WHAT_NOW: Final = MappingProxyType(
    {
        "response": "On a page of https://web.whatsapp.com, call navigator.credentials.get() with these options and send its toJSON().",
        "phone": "The phone is asked; keep WhatsApp open on it.",
        "confirm": "The phone shows a code. Where it is this one, confirm it here too.",
        "finishing": "Nothing is to be done any more; the company connects.",
    }
)
STEP_S: Final = 55.0


class PasskeyController(Controller):
    """One company's passkey."""

    path = "/api/whatsapp/sessions/{company_id:str}/passkey"
    guards = (needs_key, needs_company)
    tags = ("sessions",)

    @get(summary="The passkey that is wanted", responses=may_answer(*OF_A_COMPANY, "no_passkey_wanted"))
    async def get_passkey(self, company_id: CompanyId, backends: Injected) -> PasskeyReply:
        """The options for the account's authenticator, and which step is due."""
        company = await backends.find(company_id)
        return _reply(await company.ask(GetPasskey(), timeout=backends.waits.ask_s))

    @post(
        "/response",
        status_code=200,
        summary="Give the passkey's response",
        responses=may_answer(
            *OF_A_COMPANY,
            *BODY,
            "no_passkey_wanted",
            "invalid_passkey_response",
            "passkey_rejected",
            "rate_limited",
        ),
    )
    async def answer_passkey(
        self, company_id: CompanyId, request: ApiRequest, backends: Injected, data: JSONBody[PasskeyResponseBody]
    ) -> PasskeyReply:
        """`PublicKeyCredential.toJSON()` as the browser gave it. A response that is refused changes nothing; another one may follow."""
        await _admit(request, backends, "passkey_response", company_id)
        company = await backends.find(company_id)
        response = msgspec.json.encode(data)
        return _reply(await company.ask(AnswerPasskey(response), timeout=STEP_S))

    @post(
        "/confirm",
        status_code=200,
        summary="Confirm the phone's code",
        responses=may_answer(*OF_A_COMPANY, "no_passkey_wanted", "passkey_rejected", "rate_limited"),
    )
    async def confirm_passkey(self, company_id: CompanyId, request: ApiRequest, backends: Injected) -> PasskeyReply:
        """The phone shows the same code. Not needed where linking goes on by itself."""
        await _admit(request, backends, "passkey_confirm", company_id)
        company = await backends.find(company_id)
        return _reply(await company.ask(ConfirmPasskey(), timeout=STEP_S))


async def _admit(request: ApiRequest, backends: Backends, action: str, company_id: str) -> None:
    await take_order(company_id, request.auth, backends)
    note(request, backends, action, company_id)


def _reply(passkey: Passkey) -> PasskeyReply:
    return succeed(PasskeyReply, passkey, message=_WHAT_NOW[passkey.step])
