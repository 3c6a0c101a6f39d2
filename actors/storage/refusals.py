"""Turns storage's refusals into those of the API."""

from __future__ import annotations

from typing import Final

from actors.messages import Refused
from storage.errors import LeaseHeld

OWNED_ELSEWHERE_RETRY_S: Final = 1.0
"""Another daemon at the same address may own the company, and leases move within seconds: a caller need not wait until this lease ends."""


def owned_elsewhere(held: LeaseHeld) -> Refused:
    """Return the refusal for a company that another daemon owns. Its text names that daemon."""
    return Refused("owned_elsewhere", str(held), retry_after_s=OWNED_ELSEWHERE_RETRY_S, company_id=held.company_id)
