"""The settings as they are now."""

from __future__ import annotations

from typing import final

from config.settings import Settings


@final
class LiveSettings:
    """The settings as they are now. Actors that are restarted take what they need from here."""

    def __init__(self, settings: Settings) -> None:
        self.now = settings

    def proxy_for(self, company_id: str) -> str | None:
        """Return what `Settings.proxy_for` of the present settings returns."""
        return self.now.proxy_for(company_id)
