"""Guards: who may use which route. They run before a body is read.

All are coroutine functions: a plain function would run on a worker thread at each request.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter

from actors.http.access.auth import Authenticator, Principal
from actors.http.access.shared_slots import take_slot
from actors.http.model.problems import Problem
from actors.http.transport.tasks import AsgiScope
from actors.sharing import SharedSlots
from config.company_id import is_company_id

CompanyId = Annotated[str, PathParameter(description="1 to 64 of A-Z a-z 0-9 _ and -")]
"""How a handler declares its parameter ``company_id``; `needs_company` checks it."""


Connection = ASGIConnection[Any, Any, Principal, Any]


async def needs_key(connection: Connection, _: BaseRouteHandler) -> None:
    """Require a valid key; its holder becomes the request's ``auth``."""
    state = connection.app.state
    await enter(cast("AsgiScope", connection.scope), state.authenticator, state.backends.requests)


async def enter(scope: AsgiScope, authenticator: Authenticator, requests: SharedSlots) -> Principal:
    """Authenticate the request and take a slot in ``requests`` for it, until `leave`. Return the key's holder.

    Raises what `authenticate` raises, and `too_many_requests`.
    """
    principal = await authenticator.authenticate(scope["headers"], scope["client"])
    scope["auth"] = principal
    take_slot(principal, requests, "too_many_requests", "requests under way")
    scope["slot"] = principal
    return principal


def leave(scope: AsgiScope, requests: SharedSlots) -> None:
    """Give the request's slot back, once it is answered."""
    principal: Principal | None = scope.pop("slot", None)
    if principal is not None:
        requests.give_back(principal.key_id, is_admin=principal.is_admin)


async def needs_admin(connection: Connection, _: BaseRouteHandler) -> None:
    """Require a key of scope admin."""
    if not connection.auth.is_admin:
        raise Problem("access_denied", "this needs a key of scope admin")


async def needs_company(connection: Connection, _: BaseRouteHandler) -> None:
    """Require that the company in the path is the key's.

    Decided from the key alone, without a lookup: neither the response nor its time shows whether a foreign company exists.
    """
    admit(connection.auth, connection.path_params["company_id"])


def admit(principal: Principal, company_id: str) -> None:
    """Raise `access_denied` for a company that is not the key's, `invalid_company_id` for a text that cannot be a company's id."""
    if not principal.may_use(company_id):
        raise Problem("access_denied", "this key is not for this company")
    if not is_company_id(company_id):
        raise Problem("invalid_company_id")
