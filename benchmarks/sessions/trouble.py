"""How long companies take to recover: from the kill of an engine process, the kill of Postgres, and WhatsApp dropping all connections."""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import suppress
from typing import Final

import trio

from benchmarks.sessions.figures import Figures
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.site import Site, User

LOOK_EVERY_S: Final = 0.1
BACK_WITHIN_S: Final = 900.0


async def trouble(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures) -> None:
    """Inject the three faults, one after another, each while all companies are connected."""
    await _kill_engine(site, api, loopback, figures)
    await _kill_postgres(site, api, loopback, figures)
    await _drop_all(loopback, api, figures)


async def _kill_engine(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures) -> None:
    logins = await _logins(loopback)
    pid = min(site.daemon.engines())
    before = await _listening(loopback)
    began = trio.current_time()
    os.kill(pid, signal.SIGKILL)
    await _until_listening(loopback, 0, below=before)
    lost = before - await _listening(loopback)
    await _until_listening(loopback, before)
    await _all_connected(api, figures.companies)
    figures.engine_back_s = trio.current_time() - began
    figures.killed_companies = max(lost, 1)
    figures.others_dropped = max(0, await _logins(loopback) - logins - _companies_of_one_engine(figures.companies))


def _companies_of_one_engine(companies: int) -> int:
    return min(companies, 50)


async def _kill_postgres(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures) -> None:
    logins = await _logins(loopback)
    began = trio.current_time()
    for pid in site.daemon.postgres():
        with suppress(ProcessLookupError):  # the processes of a postmaster that is gone end by themselves
            os.kill(pid, signal.SIGKILL)

    async def sent() -> bool:
        answer = await api.try_send(User(1).company, User(2).phone, "are you there")
        return answer.status_code == 200

    await eventually("a send to be acknowledged", sent, within=BACK_WITHIN_S)
    figures.postgres_back_s = trio.current_time() - began
    await _all_connected(api, figures.companies)
    figures.postgres_logins = await _logins(loopback) - logins


async def _drop_all(loopback: RemoteLoopback, api: Api, figures: Figures) -> None:
    before = await _logins(loopback)
    began = trio.current_time()
    await loopback.fault("drop")
    seen: deque[tuple[float, int]] = deque([(began, before)])
    while (now := seen[-1][1]) < before + figures.companies:
        await trio.sleep(LOOK_EVERY_S)
        seen.append((trio.current_time(), await _logins(loopback)))
        while seen[-1][0] - seen[0][0] > 1.0:
            seen.popleft()
        figures.drop_most_logins_per_s = max(figures.drop_most_logins_per_s, seen[-1][1] - seen[0][1])
        if trio.current_time() - began > BACK_WITHIN_S:
            raise TimeoutError(f"{now - before} of {figures.companies} log-ins after {BACK_WITHIN_S:g} s")
    await _all_connected(api, figures.companies)
    figures.drop_back_s = trio.current_time() - began


async def _logins(loopback: RemoteLoopback) -> int:
    return (await loopback.counters())["logins"]


async def _listening(loopback: RemoteLoopback) -> int:
    return sum(device.listening for device in await loopback.devices())


async def _until_listening(loopback: RemoteLoopback, count: int, *, below: int | None = None) -> None:
    """Wait until at least ``count`` devices are online; with ``below``, until fewer than that are."""
    with trio.fail_after(BACK_WITHIN_S):
        while True:
            now = await _listening(loopback)
            if (now < below) if below is not None else (now >= count):
                return
            await trio.sleep(LOOK_EVERY_S)


async def _all_connected(api: Api, companies: int) -> None:
    await api.wait_connected(*(User(number).company for number in range(1, companies + 1)), within=BACK_WITHIN_S)
