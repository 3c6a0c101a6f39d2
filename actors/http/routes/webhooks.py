"""Webhooks over HTTP: create, read, change, remove; secrets; a test; dead letters.

A key sees and changes only webhooks whose companies are all its own; others do not exist for it. A webhook for all companies requires a
key for all.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

from litestar import Controller, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET

from actors.http.access.auth import Principal
from actors.http.access.guards import admit, needs_key
from actors.http.model.bodies import ApiRequest
from actors.http.model.problems import Problem
from actors.http.model.responses import Done
from actors.http.model.webhook_bodies import (
    DeadLettersBody,
    NewWebhookBody,
    RotationBody,
    WebhookBody,
    WebhookChangeBody,
)
from actors.http.model.webhook_responses import (
    CountReply,
    DeadLettersReply,
    NewWebhookReply,
    SecretReply,
    TestReply,
    WebhookAnswer,
    WebhookReply,
    WebhooksReply,
    failure,
    letter,
    seconds,
    shown,
)
from actors.http.openapi.operations import BODY, may_answer
from actors.http.routes.events import MAX_SEQ
from actors.http.services.backends import Backends, Injected, note
from storage.tables.webhooks import Change, TooManyWebhooks, Webhook

MAX_PAGE: Final = 1000
PATH: Final = "/api/whatsapp/webhooks"
WEBHOOK_ID: Final = re.compile(r"wh_[0-9a-f]{16}")

WebhookId = Annotated[str, PathParameter(description="`wh_` and 16 hex digits")]
OF_A_WEBHOOK = ("no_such_webhook",)
MAX_AUDITED_URL: Final = 256


class WebhookListController(Controller):
    """All webhooks of a key."""

    path = PATH
    guards = (needs_key,)
    tags = ("webhooks",)

    @get(summary="List webhooks", responses=may_answer("invalid_request"))
    async def list_webhooks(
        self,
        request: ApiRequest,
        backends: Injected,
        after: Annotated[str | None, QueryParameter(description="`next` of the page before", max_length=64)] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 100,
    ) -> WebhooksReply:
        """Those this key may see, in the order of their ids."""
        # No id contains the character NUL, and Postgres accepts no text with it.
        start = (after or "").replace("\0", "")
        count, found = await backends.webhooks.store.page(request.auth.companies, start, limit + 1)
        page = found[:limit]
        return WebhooksReply(
            count=count,
            webhooks=tuple(_answer(webhook, request.auth) for webhook in page),
            next=page[-1].webhook_id if len(found) > limit else None,
        )

    @post(
        status_code=201,
        summary="Make a webhook",
        responses=may_answer(*BODY, "invalid_url", "invalid_company_id", "too_many_webhooks"),
    )
    async def create_webhook(
        self, request: ApiRequest, backends: Injected, data: JSONBody[NewWebhookBody]
    ) -> NewWebhookReply:
        """The webhook gets events from now on. This response is the only one that shows the secret."""
        change = _change(request.auth, backends, data)
        note(request, backends, "webhook_create", target("webhooks", data.url))
        desk = backends.webhooks
        with _too_many_told():
            webhook_id, secret = await desk.store.create(change, data.secret, desk.limits(request.auth))
        note(request, backends, "webhook_created", target(webhook_id, data.url))
        desk.changed()
        webhook = await _find(request.auth, backends, webhook_id)
        return NewWebhookReply(**shown(webhook, to_operator=request.auth.is_admin), secret=secret)  # type: ignore[arg-type]  # by name


class WebhookController(Controller):
    """One webhook."""

    path = PATH + "/{webhook_id:str}"
    guards = (needs_key,)
    tags = ("webhooks",)

    @get(summary="A webhook", responses=may_answer(*OF_A_WEBHOOK))
    async def get_webhook(self, webhook_id: WebhookId, request: ApiRequest, backends: Injected) -> WebhookReply:
        """The webhook and its state."""
        return _reply(await _find(request.auth, backends, webhook_id), request.auth)

    @put(
        status_code=200,
        summary="Change a webhook as a whole",
        responses=may_answer(*OF_A_WEBHOOK, *BODY, "invalid_url", "invalid_company_id", "too_many_webhooks"),
    )
    async def put_webhook(
        self, webhook_id: WebhookId, request: ApiRequest, backends: Injected, data: JSONBody[WebhookBody]
    ) -> WebhookReply:
        """What is left out gets its default; the secret and the cursor stay."""
        return await _changed(request, backends, webhook_id, data)

    @patch(
        status_code=200,
        summary="Change a webhook",
        responses=may_answer(*OF_A_WEBHOOK, *BODY, "invalid_url", "invalid_company_id", "too_many_webhooks"),
    )
    async def patch_webhook(
        self, webhook_id: WebhookId, request: ApiRequest, backends: Injected, data: JSONBody[WebhookChangeBody]
    ) -> WebhookReply:
        """What is left out stays; so do the secret and the cursor: what happens while it is disabled is delivered afterwards."""
        return await _changed(request, backends, webhook_id, data)

    @delete(status_code=200, summary="Remove a webhook", responses=may_answer(*OF_A_WEBHOOK))
    async def delete_webhook(self, webhook_id: WebhookId, request: ApiRequest, backends: Injected) -> Done:
        """Its dead letters are removed too. A delivery that is under way may still arrive."""
        webhook = await _find(request.auth, backends, webhook_id)
        note(request, backends, "webhook_delete", target(webhook_id, webhook.url))
        if not await backends.webhooks.store.remove(request.auth.companies, webhook_id):
            raise Problem("no_such_webhook")
        backends.webhooks.changed()
        return Done()

    @post("/test", status_code=200, summary="Deliver a test event", responses=may_answer(*OF_A_WEBHOOK, "overloaded"))
    async def test_webhook(self, webhook_id: WebhookId, request: ApiRequest, backends: Injected) -> TestReply:
        """Now, once, signed like any other; `type` is `test`. Returns the result; the delivery is not repeated."""
        webhook = await _find(request.auth, backends, webhook_id)
        note(request, backends, "webhook_test", target(webhook_id, webhook.url))
        outcome = await backends.webhooks.test(request.auth, webhook)
        return TestReply(
            delivered=outcome.failure is None,
            failure=outcome.failure and failure(outcome.failure, to_operator=request.auth.is_admin),
            status=outcome.status,
            seconds=outcome.seconds,
        )

    @post("/secret", status_code=200, summary="Rotate the secret", responses=may_answer(*OF_A_WEBHOOK, *BODY))
    async def rotate_secret(
        self, webhook_id: WebhookId, request: ApiRequest, backends: Injected, data: JSONBody[RotationBody]
    ) -> SecretReply:
        """From now on deliveries are signed with the new secret, and for a time with the present one too."""
        await _find(request.auth, backends, webhook_id)
        note(request, backends, "webhook_rotate_secret", webhook_id)
        desk = backends.webhooks
        overlap_s = desk.settings.secret_overlap_s if data.overlap_s is None else data.overlap_s
        secret = await desk.store.rotate(request.auth.companies, webhook_id, data.secret, overlap_s)
        if secret is None:
            raise Problem("no_such_webhook")
        desk.changed()
        webhook = await _find(request.auth, backends, webhook_id)
        return SecretReply(id=webhook_id, secret=secret, previous_secret_until=seconds(webhook.previous_until))

    @delete(
        "/secret/previous", status_code=200, summary="Retire the previous secret", responses=may_answer(*OF_A_WEBHOOK)
    )
    async def retire_previous_secret(
        self, webhook_id: WebhookId, request: ApiRequest, backends: Injected
    ) -> WebhookReply:
        """Ends its validity before its time is over. Harmless when there is none."""
        await _find(request.auth, backends, webhook_id)
        note(request, backends, "webhook_retire_secret", webhook_id)
        if not await backends.webhooks.store.retire_previous(request.auth.companies, webhook_id):
            raise Problem("no_such_webhook")
        backends.webhooks.changed()
        return _reply(await _find(request.auth, backends, webhook_id), request.auth)


class DeadLetterController(Controller):
    """Events that could not be delivered to one webhook."""

    path = PATH + "/{webhook_id:str}/dead-letters"
    guards = (needs_key,)
    tags = ("webhooks",)

    @get(summary="List dead letters", responses=may_answer(*OF_A_WEBHOOK, "invalid_request"))
    async def list_dead_letters(
        self,
        webhook_id: WebhookId,
        request: ApiRequest,
        backends: Injected,
        after: Annotated[int, QueryParameter(ge=0, le=MAX_SEQ, description="Those with a greater `seq`")] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 100,
    ) -> DeadLettersReply:
        """Events that were given up, whole, with the result of the last attempt: those of the key's companies."""
        await _find(request.auth, backends, webhook_id)
        found = await backends.webhooks.store.letters(request.auth.companies, webhook_id, after, limit + 1)
        page = tuple(letter(each, to_operator=request.auth.is_admin) for each in found[:limit])
        return DeadLettersReply(dead_letters=page, next=page[-1].seq if len(found) > limit else None)

    @post("/replay", status_code=200, summary="Send dead letters again", responses=may_answer(*OF_A_WEBHOOK, *BODY))
    async def replay_dead_letters(
        self, webhook_id: WebhookId, request: ApiRequest, backends: Injected, data: JSONBody[DeadLettersBody]
    ) -> CountReply:
        """Delivered one after another, beside new events; each leaves the list once it is delivered."""
        await _find(request.auth, backends, webhook_id)
        note(request, backends, "webhook_replay", webhook_id)
        count = await backends.webhooks.store.replay(request.auth.companies, webhook_id, data.event_ids)
        backends.webhooks.changed()
        return CountReply(count=count)

    @post("/discard", status_code=200, summary="Discard dead letters", responses=may_answer(*OF_A_WEBHOOK, *BODY))
    async def discard_dead_letters(
        self, webhook_id: WebhookId, request: ApiRequest, backends: Injected, data: JSONBody[DeadLettersBody]
    ) -> CountReply:
        """Removes them for good."""
        await _find(request.auth, backends, webhook_id)
        note(request, backends, "webhook_discard", webhook_id)
        count = await backends.webhooks.store.discard(request.auth.companies, webhook_id, data.event_ids)
        return CountReply(count=count)


def target(webhook_id: str, url: str | None) -> str:
    """Return a webhook's name in the audit log: its id and URL, without the query, in which senders like to put secrets."""
    return webhook_id if url is None else f"{webhook_id} {url.partition('?')[0][:MAX_AUDITED_URL]}"


@contextmanager
def _too_many_told() -> Generator[None]:
    try:
        yield
    except TooManyWebhooks as error:
        raise Problem("too_many_webhooks", f"{error}: remove one first") from error


async def _find(principal: Principal, backends: Backends, webhook_id: str) -> Webhook:
    is_possible = WEBHOOK_ID.fullmatch(webhook_id) is not None
    webhook = await backends.webhooks.store.find(principal.companies, webhook_id) if is_possible else None
    if webhook is None:
        raise Problem("no_such_webhook")
    return webhook


async def _changed(
    request: ApiRequest, backends: Backends, webhook_id: str, data: WebhookBody | WebhookChangeBody
) -> WebhookReply:
    await _find(request.auth, backends, webhook_id)
    change = _change(request.auth, backends, data)
    note(request, backends, "webhook_change", target(webhook_id, data.url or None))
    desk = backends.webhooks
    with _too_many_told():
        is_there = await desk.store.change(request.auth.companies, webhook_id, change, desk.limits(request.auth))
    if not is_there:
        raise Problem("no_such_webhook")
    backends.webhooks.changed()
    return _reply(await _find(request.auth, backends, webhook_id), request.auth)


def _change(principal: Principal, backends: Backends, data: NewWebhookBody | WebhookBody | WebhookChangeBody) -> Change:
    """Return the requested change, if the key may make it."""
    if data.companies is not UNSET:
        _admit_all(principal, data.companies)
    if data.url is not UNSET:
        backends.webhooks.check_url(data.url)
    return Change(
        url=data.url,
        companies=data.companies,
        types=data.event_types,
        enabled=data.enabled,
        description=data.description,
    )


def _admit_all(principal: Principal, companies: Sequence[str] | None) -> None:
    if companies is None:
        if not principal.is_admin:
            raise Problem("access_denied", "a webhook for all companies needs a key of scope admin: name companies")
        return
    for company_id in companies:
        admit(principal, company_id)


def _answer(webhook: Webhook, principal: Principal) -> WebhookAnswer:
    return WebhookAnswer(**shown(webhook, to_operator=principal.is_admin))  # type: ignore[arg-type]  # by name


def _reply(webhook: Webhook, principal: Principal) -> WebhookReply:
    return WebhookReply(**shown(webhook, to_operator=principal.is_admin))  # type: ignore[arg-type]  # by name
