"""Fetches files by URL, through the guard that keeps the URLs of others from reaching this network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from actors.media.names import clean_name, name_in_header, name_in_url
from actors.outbound.client import Incoming, OutboundClient
from actors.outbound.errors import OutboundFailed

_OK: Final = 200


async def fetch_file(client: OutboundClient, url: str, path: Path, *, max_bytes: int, timeout_s: float) -> str:
    """Write the body at ``url`` to ``path``. Return the file's name as given there, which may be empty.

    Raises `OutboundRefused`; `OutboundFailed` also for a status that is not 200.
    """
    async with client.stream("GET", url, timeout_s=timeout_s) as incoming:
        if incoming.status != _OK:
            raise OutboundFailed(
                "protocol_error", f"the host answered with status {incoming.status}, where 200 was expected"
            )
        await _receive(incoming, path, max_bytes)
        header = incoming.headers.get("content-disposition", "")
    return clean_name(name_in_header(header)) or clean_name(name_in_url(url))


async def _receive(incoming: Incoming, path: Path, max_bytes: int) -> None:
    received = 0
    async with await trio.open_file(path, "wb") as file:
        while piece := await incoming.receive_some():
            received += len(piece)
            if received > max_bytes:
                raise OutboundFailed("too_large", f"the file is larger than {max_bytes} bytes")
            await file.write(piece)
