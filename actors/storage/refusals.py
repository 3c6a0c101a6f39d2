"""What storage's refusals mean to a caller of the API."""

from __future__ import annotations

from typing import Final

from actors.messages import Refused
from storage.errors import LeaseHeld

OWNED_ELSEWHERE_RETRY_S: Final = 1.0
"""Another daemon behind the same address may own the company, and leases move within seconds: a caller need not wait for this one's end."""


def owned_elsewhere(held: LeaseHeld) -> Refused:
    """The company is another daemon's, which the text names."""
    return Refused("owned_elsewhere", str(held), retry_after_s=OWNED_ELSEWHERE_RETRY_S, company_id=held.company_id)
