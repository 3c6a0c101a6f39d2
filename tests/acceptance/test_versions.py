"""WhatsApp refuses the announced version: companies come back with another one, without an operator."""

from __future__ import annotations

from collections import Counter

import trio

from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

COMPANIES = tuple(User(number) for number in range(1, 7))
PLAN = Plan(
    companies=COMPANIES,
    settings={"WASUP_WHATSAPP_VERSION": "auto", "WASUP_COMPANY_OUTDATED_MIN_S": "5", "WASUP_START_CONCURRENCY": "2"},
)
NEWER, NEWEST = 1_050_000_000, 1_051_000_000


async def test_refused_companies_come_back_with_the_newest_version(
    api: Api, loopback: RemoteLoopback, site: Site
) -> None:
    """Half of them lose WhatsApp, which refuses the version by then: back within a minute, each refused at most once, the others stay."""
    await loopback.fault("publish_version", revision=NEWER)
    await loopback.fault("refuse_version", below=NEWER)
    before, engines = len(await loopback.announced()), site.daemon.engines()
    lost = COMPANIES[:3]
    with trio.fail_after(60.0):
        for user in lost:
            await loopback.fault("drop", phone=user.phone)
            await trio.sleep(0.05)
        await eventually(
            "they announce the newer version", lambda: _all_back(loopback, before, lost, NEWER), within=30.0
        )
        for user in COMPANIES:
            await api.wait_connected(user.company)

    said = (await loopback.announced())[before:]
    assert max(Counter(each.phone for each in said if each.refused).values()) == 1
    assert {each.phone for each in said} == {user.phone for user in lost}
    assert site.daemon.engines() > engines
    await api.message(COMPANIES[4].company, await api.send(COMPANIES[0].company, f"+{COMPANIES[4].phone}", "after"))


async def test_the_others_follow_when_they_log_in_again(api: Api, loopback: RemoteLoopback) -> None:
    """They are not refused: their next log-in is from a process that announces the newer version."""
    before, others = len(await loopback.announced()), COMPANIES[3:]
    for user in others:
        await loopback.fault("drop", phone=user.phone)
    await eventually("they announce the newer version", lambda: _all_back(loopback, before, others, NEWER), within=30.0)

    assert not any(each.refused for each in (await loopback.announced())[before:])
    for user in others:
        await api.wait_connected(user.company)


async def test_what_was_found_is_remembered_and_used_from_the_start(
    api: Api, loopback: RemoteLoopback, site: Site
) -> None:
    """A daemon that is started again announces it at once."""
    await loopback.fault("publish_version", revision=0)
    await site.daemon.stop()
    before = len(await loopback.announced())
    await site.daemon.restart()
    await eventually("all are back", lambda: _all_back(loopback, before, COMPANIES, NEWER), within=30.0)

    assert not any(each.refused for each in (await loopback.announced())[before:])


async def test_a_company_can_be_linked_under_the_version_that_was_found(api: Api, loopback: RemoteLoopback) -> None:
    """Registrations announce it as well."""
    newcomer = User(20)
    await loopback.add_account(newcomer.phone, newcomer.lid)
    offered = await api.post(f"{SESSIONS}/{newcomer.company}/initialize", {"method": "qr"})
    await loopback.scan(newcomer.phone, offered["qr"])
    await api.wait_connected(newcomer.company)


async def test_without_another_version_companies_are_outdated_and_try_again(api: Api, loopback: RemoteLoopback) -> None:
    """The page names nothing newer: `outdated`, a try now and then, and back as soon as WhatsApp accepts the version again."""
    user = COMPANIES[0]
    await loopback.fault("refuse_version", below=NEWEST)
    await loopback.fault("drop", phone=user.phone)
    await eventually("it is outdated", lambda: _is(api, user, "outdated"), within=30.0)
    await loopback.fault("refuse_version", below=0)
    await api.wait_connected(user.company)


async def _all_back(loopback: RemoteLoopback, before: int, users: tuple[User, ...], revision: int) -> bool:
    said = (await loopback.announced())[before:]
    taken = {each.phone for each in said if each.version == f"2.3000.{revision}" and not each.refused}
    return taken >= {user.phone for user in users}


async def _is(api: Api, user: User, status: str) -> bool:
    return bool((await api.get(f"{SESSIONS}/{user.company}/status"))["status"] == status)
