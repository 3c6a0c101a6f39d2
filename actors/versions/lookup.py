"""Asks the page of WhatsApp Web for its revision: one bounded request, through the operator's proxy if there is one."""

from __future__ import annotations

import re
from typing import Final, final

import httpx

HTTP_OK: Final = 200
_REVISION: Final = re.compile(rb'"client_revision":\s*(\d{9,10})\b')
# A client that does not look like a browser gets another page, without a revision.
_HEADERS: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml;q=0.9",
    "Accept-Language": "en",
    "Accept-Encoding": "identity",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
}


class LookUpFailed(Exception):
    """The look-up has no usable result. The text says why."""


@final
class LookUp:
    """Asks ``url``. ``timeout_s`` limits each step of the request, ``max_bytes`` how much of the page is read."""

    def __init__(self, url: str, *, timeout_s: float, max_bytes: int) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    async def newest(self, proxy: str | None) -> str:
        """Return the version, like ``2.3000.1047769893``. Raises `LookUpFailed`."""
        tls = httpx.create_ssl_context(trust_env=True)
        try:
            async with (
                httpx.AsyncClient(proxy=proxy, trust_env=False, timeout=self._timeout_s, verify=tls) as client,
                client.stream("GET", self._url, headers=_HEADERS) as response,
            ):
                if response.status_code != HTTP_OK:
                    raise LookUpFailed(f"the page answered with status {response.status_code}")
                return await self._read(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise LookUpFailed(f"the page cannot be read ({type(error).__name__})") from error

    async def _read(self, response: httpx.Response) -> str:
        read = bytearray()
        async for piece in response.aiter_bytes():
            read += piece
            if (match := _REVISION.search(read)) is not None:
                return f"2.3000.{int(match.group(1))}"
            if len(read) > self._max_bytes:
                raise LookUpFailed(f"the first {self._max_bytes} bytes of the page name no revision")
        raise LookUpFailed("the page names no revision")
