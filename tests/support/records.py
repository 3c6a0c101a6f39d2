"""What Postgres records of companies."""

from __future__ import annotations

from storage.database.connection import Reader
from storage.tables import companies


async def is_wanted(reader: Reader, company_id: str) -> bool:
    """Whether the company is recorded as one to run."""
    company = await companies.find(reader, company_id)
    return company is not None and company.desired == "running"
