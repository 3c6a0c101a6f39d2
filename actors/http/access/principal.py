"""The holder of a verified key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a key."""

    key_id: str
    companies: frozenset[str] | None
    """Companies that it may use; None: all, and the administration."""

    @property
    def is_admin(self) -> bool:
        """Whether it may administer."""
        return self.companies is None

    def may_use(self, company_id: str) -> bool:
        """Whether this company is the key's."""
        return self.companies is None or company_id in self.companies
