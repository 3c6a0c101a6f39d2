"""Secrets, phone numbers and texts go through a daemon that logs everything, crashes included, and none appears in its output."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
import trio
from wsproto.events import TextMessage

from storage.database.pool import open_database
from tests.http.raw import WebSocket, WebSocketRefused
from tests.support.api import EVENTS, SESSIONS, Api, Json
from tests.support.bars import patience
from tests.support.eventually import eventually
from tests.support.processes import command_line
from tests.support.site import Plan, Site, User

A, B, NEW, STRANGER = User(1), User(2), User(3), User(77)
REDIS_PASSWORD = "canary-" + secrets.token_hex(8)
PLAN = Plan(
    companies=(A, B),
    settings={
        "WASUP_LOG_LEVEL": "debug",
        "WASUP_LOG_REPEAT_INTERVAL_S": "0",
        "REDIS_URL": f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0",
    },
)
CRASHED = ("/storage", "/events", "/directory", "/limiter", "/http", f"/companies/{A.company}")
BACK_WITHIN_S = 120.0
REVOKED_WITHIN_S = 5.0


async def make_key(site: Site) -> Json:
    """A key for company A, made on the command line."""
    made = await site.wasup("keys", "create", "of A", "--company", A.company, "--json")
    assert made.returncode == 0, made.stderr
    return msgspec.json.decode(made.stdout, type=dict[str, Any])


@asynccontextmanager
async def connected(site: Site) -> AsyncGenerator[WebSocket]:
    """A connection to the daemon, before its handshake."""
    found = urlsplit(site.daemon.url)
    assert found.hostname is not None
    assert found.port is not None
    async with await trio.open_tcp_stream(found.hostname, found.port) as stream:
        yield WebSocket(stream)


async def post(api: Api, path: str, body: Json, **headers: str) -> httpx.Response:
    """Send a request and ignore its outcome."""
    try:
        return await api.call("POST", path, json=body, headers=headers)
    except httpx.TransportError:
        return httpx.Response(0)


async def send_canaries(api: Api, word: str) -> dict[str, str]:
    """Send texts, have them refused, crash on them; return what each canary is."""
    texts = {name: f"canary {word} {name} {secrets.token_hex(8)}" for name in ("text", "quoted", "refused", "unknown")}
    key = f"canary-{word}-{secrets.token_hex(8)}"
    send = f"{SESSIONS}/{A.company}/send"
    quoted = {"quoted": {"messageId": "3EB0A1", "text": texts["quoted"]}}
    await post(api, send, {"phone": B.phone, "message": texts["text"]}, **{"Idempotency-Key": key})
    await post(api, send, {"phone": B.phone, "message": texts["text"], "options": quoted})
    await post(api, send, {"phone": "12", "message": texts["refused"]})
    await post(api, send, {"phone": B.phone, "message": "x", texts["unknown"]: texts["unknown"]})
    await post(api, send, {"phone": STRANGER.phone, "message": texts["text"]})
    return {f"{word} {name}": text for name, text in {**texts, "idempotency key": key}.items()}


async def ask_oddly(api: Api, site: Site) -> dict[str, str]:
    """Put canaries in a path, a query, a header, a wrong key, a body that is no JSON, a ticket and a WebSocket message."""
    marks = {
        name: f"canary-{secrets.token_hex(8)}" for name in ("path", "query", "header", "wrong key", "rubbish", "frame")
    }
    await api.call("GET", f"/nowhere/{marks['path']}")
    await api.call("GET", f"{EVENTS}?type={marks['query']}&companyId={marks['query']}")
    await api.call("GET", "/livez", headers={"User-Agent": marks["header"], "Cookie": marks["header"]})
    await api.call("GET", SESSIONS, key=marks["wrong key"])
    await api.call("POST", f"{SESSIONS}/{A.company}/send", content=marks["rubbish"].encode())
    ticket = (await api.call("POST", f"{EVENTS}/tickets")).json()["ticket"]
    async with connected(site) as websocket:
        await websocket.open(f"{EVENTS}?ticket={ticket}", None)
        await websocket.send(TextMessage(data=marks["frame"]))
        await websocket.closed()
    return {**marks, "ticket": ticket}


async def crash_everything(site: Site, api: Api) -> None:
    """Kill actors through the administration and an engine by SIGKILL, with sends under way."""
    async with trio.open_nursery() as nursery:
        for path in CRASHED:
            nursery.start_soon(send_canaries, api, "crashing")
            await post(api, f"/admin/actors{path}/kill", {})
        for pid in site.daemon.engines():
            os.kill(pid, signal.SIGKILL)

    async def connected() -> bool:
        answers = [await api.try_get(f"{SESSIONS}/{user.company}/status") for user in (A, B)]
        return all(answer.status_code == 200 and answer.json()["connected"] for answer in answers)

    await eventually("both companies to be connected again", connected, within=BACK_WITHIN_S)


def environment_of(pid: int) -> str:
    """The environment a process inherited; empty when it has ended meanwhile, as those that serve a connection to Postgres do."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return ""


async def everything_stored(site: Site) -> str:
    """Each row of each table, as a dump of the database has it."""
    async with open_database(site.dsn, size=1) as reader:
        tables = await reader.fetch("SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'")
        rows = [await reader.fetch(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]  # pyright: ignore[reportArgumentType]
    return "\n".join(str(row["row"]) for table in rows for row in table)


def found_in(canaries: dict[str, str], where: str, text: str) -> list[str]:
    """Which canaries are in a text."""
    return [f"{name} in {where}" for name, canary in canaries.items() if canary in text]


async def test_x4_no_canary_leaves_a_trace(site: Site, api: Api) -> None:
    """Keys, tickets, texts, codes, passwords and whole phone numbers are in no line of the log, no command line and no environment of a
    child; and no secret that opens something is in a table."""
    await api.wait_connected(A.company, B.company)
    key = await make_key(site)
    await api.call("GET", SESSIONS, key=key["key"])
    canaries = {"admin key": site.daemon.key, "key": key["key"], "Redis password": REDIS_PASSWORD}
    canaries |= {f"phone of {user.number}": user.phone for user in (A, B, STRANGER)}
    canaries |= {f"hidden id of {user.number}": user.lid for user in (A, B)}
    canaries |= await send_canaries(api, "calm")
    canaries |= await ask_oddly(api, site)
    offered = await api.post(f"{SESSIONS}/{NEW.company}/initialize", {"method": "qr"})
    canaries |= {f"QR part {number}": part for number, part in enumerate(offered["qr"].split(",")) if len(part) > 20}
    coded = await api.post(f"{SESSIONS}/{NEW.company}/initialize", {"method": "code", "phone": f"+{NEW.phone}"})
    canaries |= {"pairing code": coded["pairingCode"], "phone to link": NEW.phone}
    before = {pid: command_line(pid) for pid in site.daemon.family()}
    await crash_everything(site, api)
    canaries |= await send_canaries(api, "after")
    await api.post(f"{SESSIONS}/{NEW.company}/stop")

    log = site.daemon.log.read_text(errors="replace")
    command_lines = "\n".join([*before.values(), *map(command_line, site.daemon.family())])
    environments = "\n".join(map(environment_of, site.daemon.engines() | site.daemon.postgres()))
    stored = await everything_stored(site)
    openers = {name: canaries[name] for name in ("admin key", "key", "Redis password", "wrong key", "ticket")}
    assert len(canaries) >= 20
    assert log.count('"level":"debug"') > 20
    assert key["keyId"] in stored
    hits = found_in(canaries, "the log", log) + found_in(canaries, "a command line", command_lines)
    hits += found_in(canaries, "an environment", environments) + found_in(openers, "the database", stored)
    print(
        f"X4: {len(canaries)} canaries, {log.count(chr(10))} log lines at debug level, {len(CRASHED) + 1} crashes, "
        f"{len(stored) / 1024:.0f} KiB of table rows: {len(hits)} hits"
    )
    assert hits == []


async def test_x7_a_key_revoked_by_another_process_closes_its_stream(site: Site, api: Api) -> None:
    """`wasup keys revoke` ends the open WebSocket within 5 s, and the key opens nothing more."""
    key = await make_key(site)
    async with connected(site) as websocket:
        await websocket.open(EVENTS, key["key"])
        await site.wasup("keys", "revoke", key["keyId"])
        began = trio.current_time()
        closed = await websocket.closed()
        took = trio.current_time() - began
    async with connected(site) as websocket:
        with pytest.raises(WebSocketRefused) as refused:
            await websocket.open(EVENTS, key["key"])
    answer = await api.call("GET", SESSIONS, key=key["key"])

    print(f"X7: closed {took:.2f} s after `wasup keys revoke` had ended, bar {REVOKED_WITHIN_S:g} s")
    assert (closed.code, (closed.reason or "").partition(";")[0]) == (1008, "key_revoked")
    assert refused.value.status == 401
    assert took < patience(REVOKED_WITHIN_S)
    assert answer.status_code == 401
