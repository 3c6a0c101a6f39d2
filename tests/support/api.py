"""The REST API as an application uses it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, final

import httpx

from tests.support.daemon import Daemon
from tests.support.eventually import eventually

SESSIONS: Final = "/api/whatsapp/sessions"
EVENTS: Final = "/api/whatsapp/events"
PAGE: Final = 1000

Json = dict[str, Any]


@final
class Api:
    """Calls with the admin key by default. It follows the daemon through its restarts."""

    def __init__(self, http: httpx.AsyncClient, daemon: Daemon) -> None:
        self._http = http
        self._daemon = daemon

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """Send one request and return its response, whatever its status."""
        sent = {"X-Api-Key": self._daemon.key if key is None else key, **(headers or {})}
        return await self._http.request(method, self._daemon.url + path, json=json, content=content, headers=sent)

    async def get(self, path: str) -> Json:
        """Return the body of a GET that must succeed."""
        return _succeeded(await self.call("GET", path))

    async def post(self, path: str, json: Mapping[str, object] | None = None) -> Json:
        """Return the body of a POST that must succeed."""
        return _succeeded(await self.call("POST", path, json=json))

    async def try_send(self, company: str, phone: str, text: str, **body: object) -> httpx.Response:
        """Send a text and return the response, whatever its status. A broken connection is a response of status 0."""
        return await self._try("POST", f"{SESSIONS}/{company}/send", {"phone": phone, "message": text, **body})

    async def try_get(self, path: str) -> httpx.Response:
        """Send a GET and return the response, whatever its status. A broken connection is a response of status 0."""
        return await self._try("GET", path, None)

    async def try_post(self, path: str) -> httpx.Response:
        """Send a POST without a body and return the response, whatever its status. A broken connection is a response of status 0."""
        return await self._try("POST", path, None)

    async def _try(self, method: str, path: str, json: Mapping[str, object] | None) -> httpx.Response:
        try:
            return await self.call(method, path, json=json)
        except httpx.TransportError as error:
            return httpx.Response(0, text=f"{type(error).__name__}: {error}")

    async def send(self, company: str, phone: str, text: str, **body: object) -> str:
        """Send a text; return its message id."""
        return str(_succeeded(await self.try_send(company, phone, text, **body))["messageId"])

    async def status(self, company: str) -> Json:
        """A company's status."""
        return await self.get(f"{SESSIONS}/{company}/status")

    async def states(self) -> dict[str, str]:
        """Every company's state."""
        page = await self.get(f"{SESSIONS}?limit={PAGE}")
        return {session["companyId"]: session["status"] for session in page["sessions"]}

    async def last_seq(self) -> int:
        """The number of the newest event."""
        after = 0
        while True:
            page = await self.get(f"{EVENTS}?after={after}&limit={PAGE}")
            if len(page["events"]) < PAGE:
                return int(page["next"])
            after = page["next"]

    async def events(self, after: int = 0, *, company: str | None = None, kind: str | None = None) -> list[Json]:
        """Return all events with a greater number."""
        chosen = "".join([f"&companyId={company}" if company else "", f"&type={kind}" if kind else ""])
        found: list[Json] = []
        while True:
            page = await self.get(f"{EVENTS}?after={after}&limit={PAGE}{chosen}")
            found += page["events"]
            if len(page["events"]) < PAGE:
                return found
            after = page["next"]

    async def event(
        self,
        company: str,
        kind: str,
        *,
        after: int = 0,
        where: Callable[[Json], bool] = lambda _: True,
        within: float = 10.0,
    ) -> Json:
        """Wait for the first such event of a company whose payload fits, and return it."""

        async def look() -> list[Json]:
            return [e for e in await self.events(after, company=company, kind=kind) if where(e["payload"])]

        return (await eventually(f"a fitting {kind} event of {company}", look, within=within))[0]

    async def message(self, company: str, message_id: str) -> Json:
        """Wait for a company's message event and return its payload."""
        event = await self.event(company, "message", where=lambda payload: bool(payload["messageId"] == message_id))
        payload: Json = event["payload"]
        return payload

    async def wait_connected(self, *companies: str, within: float = 10.0) -> None:
        """Wait until all of these are connected."""

        async def look() -> bool:
            states = await self.states()
            return all(states.get(company) == "connected" for company in companies)

        try:
            await eventually(f"{', '.join(companies)} to be connected", look, within=within)
        except AssertionError as error:
            statuses = [await self.status(company) for company in companies]
            raise AssertionError(f"{error}; {[(s['companyId'], s['status'], s['reason']) for s in statuses]}") from None

    async def actor(self, path: str) -> Json:
        """One actor as the administration shows it."""
        actor: Json = (await self.get(f"/admin/actors{path}"))["actor"]
        return actor


def _succeeded(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:1000]}"
    found: Json = answer.json()
    assert found["success"] is True
    return found


@asynccontextmanager
async def open_api(daemon: Daemon) -> AsyncGenerator[Api]:
    """A client of a daemon. Connections are not reused: an old one would not reach a daemon that has restarted."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=60.0, limits=limits, trust_env=False) as http:
        yield Api(http, daemon)
