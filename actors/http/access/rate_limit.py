"""Rate limits and their headers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from actors.http.access.auth import Principal
from actors.http.model.problems import Problem
from actors.http.services.backends import Backends
from actors.messages import Allowance, Counted, TakeToken

_CALLED: Final[Mapping[Counted, str]] = MappingProxyType(
    {"messages": "messages", "lookups": "look-ups", "orders": "orders", "admin_orders": "orders"}
)


async def take_token(company_id: str, of: Counted, backends: Backends) -> Allowance:
    """Take one token of the company's allowance. Raises `rate_limited`, which says when the next one is available."""
    allowance = await backends.limiter.ask(TakeToken(company_id, of), timeout=backends.waits.ask_s)
    if not allowance.allowed:
        raise Problem(
            "rate_limited",
            f"at most {allowance.limit} {_CALLED[of]} a window; the next one in {math.ceil(allowance.reset_after_s)} s",
            retry_after_s=allowance.reset_after_s,
            company_id=company_id,
            headers=rate_limit_headers(allowance),
        )
    return allowance


async def take_order(company_id: str, principal: Principal, backends: Backends) -> None:
    """Count an order that begins or ends the company's session. Raises `rate_limited`.

    Orders of an administrator are counted apart, so that a company whose own key keeps it busy can still be stopped.
    """
    await take_token(company_id, "admin_orders" if principal.is_admin else "orders", backends)


def rate_limit_headers(allowance: Allowance) -> dict[str, str]:
    """Return the headers that say how much is left."""
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(math.ceil(allowance.reset_after_s)),
    }
