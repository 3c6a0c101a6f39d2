"""Keys: which are accepted, how often the database is asked, and what happens to clients that guess."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry
from trio.testing import MockClock

from actors.daemon.metrics import Metrics
from actors.http.access.audit import AuditTrail
from actors.http.access.auth import (
    FAILURES_WITHIN_S,
    FRESH_S,
    MAX_KNOWN,
    REVOCATIONS_EVERY_S,
    REVOKED_WITHIN_S,
    STALE_S,
    Authenticator,
    Principal,
    key_in,
)
from actors.http.access.key_lookups import KeyLookups
from actors.http.access.tickets import Tickets
from actors.http.model.problems import Problem
from config.sections import HttpSettings
from tests.http.fakes import MemoryAudit, MemoryKeys, World
from tests.http.world import A_KEY, ADMIN_KEY, COMPANY_A, COMPANY_B, sample_world

HERE = ("127.0.0.1", 50000)
ELSEWHERE = ("192.0.2.7", 50000)
ADMIN = Principal("admin000", None)
WRONG = "wasup_wrong_0123456789abcdefghijklmnopqrstuvwxyz"


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    """The headers of a request with this key."""
    return [(b"host", b"x"), (b"authorization", f"Bearer {key}".encode())]


def authenticator(world: World, failures: int = 20, addresses: int = 10_000) -> Authenticator:
    """An authenticator over the keys of ``world``."""
    settings = HttpSettings(auth_failures_per_minute=failures, auth_addresses=addresses)
    return Authenticator(MemoryKeys(world), Metrics(CollectorRegistry()), settings, AuditTrail(MemoryAudit(world)))


async def refusal(keys: Authenticator, key: str, client: tuple[str, int] = HERE) -> Problem:
    """The problem with which this key is refused."""
    with pytest.raises(Problem) as caught:
        await keys.authenticate(bearer(key), client)
    return caught.value


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"Authorization", b"bEaReR   abc ")], b"abc"),
        ([(b"x-api-key", b" abc ")], b"abc"),
        ([(b"x-api-key", b"other"), (b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"Basic YTpi"), (b"x-api-key", b"abc")], b"abc"),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"authorization", b"Basic YTpi")], None),
        ([(b"x-api-key", b"")], None),
        ([(b"cookie", b"key=abc")], None),
        ([], None),
    ],
)
def test_a_key_is_taken_from_its_two_headers_only(headers: list[tuple[bytes, bytes]], key: bytes | None) -> None:
    """Bearer comes before X-Api-Key; nothing else carries a key."""
    assert key_in(headers) == key


def test_a_principal_knows_what_it_may_use() -> None:
    """Admin may use everything, other keys only their companies."""
    assert Principal("k", None).may_use(COMPANY_B)
    assert Principal("k", frozenset({COMPANY_A})).may_use(COMPANY_A)
    assert not Principal("k", frozenset({COMPANY_A})).may_use(COMPANY_B)
    assert not Principal("k", frozenset()).is_admin


async def test_a_known_key_is_its_principal() -> None:
    """With its companies."""
    keys = authenticator(sample_world())

    assert await keys.authenticate(bearer(ADMIN_KEY), HERE) == Principal("admin000", None)
    assert await keys.authenticate(bearer(A_KEY), None) == Principal("aaaaaaaa", frozenset({COMPANY_A}))


async def test_a_key_is_looked_up_once_in_a_while(mock_clock: MockClock) -> None:
    """Within the fresh time the database is not asked again."""
    world = sample_world()
    keys = authenticator(world)

    for _ in range(10):
        await keys.authenticate(bearer(A_KEY), HERE)
    assert world.key_lookups == 1

    mock_clock.jump(FRESH_S)
    await keys.authenticate(bearer(A_KEY), HERE)
    assert world.key_lookups == 2


async def test_a_revoked_key_is_refused_when_it_is_looked_at_again(mock_clock: MockClock) -> None:
    """At most the fresh time after the revocation."""
    world = sample_world()
    keys = authenticator(world)
    await keys.authenticate(bearer(A_KEY), HERE)
    world.keys.clear()
    mock_clock.jump(FRESH_S)

    assert (await refusal(keys, A_KEY)).kind.code == "unauthorized"


async def test_with_the_database_away_a_recent_key_works(mock_clock: MockClock) -> None:
    """For the stale time, without a lookup for each request; an unknown key gets an error with a time to come back."""
    world = sample_world()
    keys = authenticator(world)
    await keys.authenticate(bearer(A_KEY), HERE)
    world.storage_is_away = True

    mock_clock.jump(STALE_S - FRESH_S)
    for _ in range(10):
        assert (await keys.authenticate(bearer(A_KEY), HERE)).key_id == "aaaaaaaa"
    assert world.key_lookups == 2

    assert (await refusal(keys, ADMIN_KEY)).kind.code == "storage_unavailable"

    mock_clock.jump(2 * FRESH_S)
    assert (await refusal(keys, A_KEY)).kind.code == "storage_unavailable"


async def test_a_database_that_hangs_does_not_hold_up_a_recent_key(autojump_clock: MockClock) -> None:
    """After a second the earlier answer counts."""
    world = sample_world()

    class HangingKeys(MemoryKeys):
        async def find_all(self, digests: Collection[bytes]) -> Mapping[bytes, Principal]:
            found = await super().find_all(digests)
            if world.key_lookups > 1:
                await trio.sleep_forever()
            return found

    audit = AuditTrail(MemoryAudit(world))
    keys = Authenticator(HangingKeys(world), Metrics(CollectorRegistry()), HttpSettings(), audit)
    await keys.authenticate(bearer(A_KEY), HERE)
    await trio.sleep(FRESH_S)
    began = trio.current_time()

    assert (await keys.authenticate(bearer(A_KEY), HERE)).key_id == "aaaaaaaa"
    assert trio.current_time() - began == 1.0


async def test_wrong_keys_are_limited_by_address(mock_clock: MockClock) -> None:
    """401 up to the limit, then 429; right keys are accepted all the same, also a new one; the limit ends with time."""
    world = sample_world()
    keys = authenticator(world, failures=5)

    codes = [(await refusal(keys, f"{WRONG}{number}")).kind.code for number in range(7)]
    assert codes == ["unauthorized"] * 5 + ["too_many_failures"] * 2
    assert (await refusal(keys, WRONG)).retry_after_s == FAILURES_WITHIN_S
    assert (await keys.authenticate(bearer(A_KEY), HERE)).key_id == "aaaaaaaa"

    await keys.authenticate(bearer(ADMIN_KEY), ELSEWHERE)

    mock_clock.jump(FAILURES_WITHIN_S)
    assert (await refusal(keys, WRONG)).kind.code == "unauthorized"


async def test_a_right_key_is_let_in_while_others_guess(autojump_clock: MockClock) -> None:
    """Hundreds of wrong keys from its address at once, a database that takes a second: it waits for two answers, however many there are,
    and all keys are asked for in a few queries."""
    world = sample_world()

    class SlowKeys(MemoryKeys):
        async def find_all(self, digests: Collection[bytes]) -> Mapping[bytes, Principal]:
            await trio.sleep(1)
            return await super().find_all(digests)

    audit = AuditTrail(MemoryAudit(world))
    keys = Authenticator(SlowKeys(world), Metrics(CollectorRegistry()), HttpSettings(), audit)
    codes: list[str] = []

    async def guess(number: int) -> None:
        codes.append((await refusal(keys, f"{WRONG}{number}")).kind.code)

    async with trio.open_nursery() as nursery:
        for number in range(500):
            nursery.start_soon(guess, number)
        await trio.sleep(0.5)
        for number in range(500, 900):
            nursery.start_soon(guess, number)
        assert (await keys.authenticate(bearer(A_KEY), HERE)).key_id == "aaaaaaaa"
        assert trio.current_time() == 2.0

    assert (codes.count("unauthorized"), codes.count("too_many_failures")) == (20, 880)
    assert world.key_lookups <= 3


async def test_a_lookup_that_is_given_up_leaves_the_others_their_answer(autojump_clock: MockClock) -> None:
    """The client whose request asks the database for all disconnects: the next one asks."""
    asked: list[set[bytes]] = []

    async def find_all(digests: Collection[bytes]) -> Mapping[bytes, str]:
        asked.append(set(digests))
        await trio.sleep(1)
        return {b"a": "A", b"b": "B"}

    lookups = KeyLookups(find_all)
    found: list[str | None] = []

    async def find(digest: bytes) -> None:
        found.append(await lookups.find(digest))

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.5):
            async with trio.open_nursery() as first:
                first.start_soon(find, b"a")
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(find, b"b")
                nursery.start_soon(find, b"c")

    assert asked == [{b"a"}, {b"b", b"c"}]
    assert sorted(found, key=str) == ["B", None]
    assert lookups._waiting == {}


async def test_a_database_that_fails_is_told_to_all_who_wait(autojump_clock: MockClock) -> None:
    """Each may retry; a later request asks anew."""
    world = sample_world()
    keys = authenticator(world)
    world.storage_is_away = True
    codes: list[str] = []

    async def ask(key: str) -> None:
        codes.append((await refusal(keys, key)).kind.code)

    async with trio.open_nursery() as nursery:
        for key in (A_KEY, ADMIN_KEY, WRONG):
            nursery.start_soon(ask, key)
    world.storage_is_away = False

    assert codes == ["storage_unavailable"] * 3
    assert (await keys.authenticate(bearer(A_KEY), HERE)).key_id == "aaaaaaaa"


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
async def test_an_ipv6_host_counts_as_its_network(mock_clock: MockClock, first: str, second: str, shared: bool) -> None:
    """One host has a /64 full of addresses; a mapped IPv4 address is that address."""
    keys = authenticator(sample_world(), failures=1)
    await refusal(keys, WRONG, (first, 1))

    code = (await refusal(keys, WRONG + "2", (second, 1))).kind.code

    assert code == ("too_many_failures" if shared else "unauthorized")


@pytest.mark.parametrize("key", ["short", "k" * 257, "with space " * 3, "caf\u00e9" * 5])
async def test_what_cannot_be_a_key_is_not_looked_up(key: str) -> None:
    """It still counts as a failure."""
    world = sample_world()

    assert (await refusal(authenticator(world), key)).kind.code == "unauthorized"
    assert world.key_lookups == 0


async def test_memory_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that was verified longest ago is forgotten."""
    monkeypatch.setattr("actors.http.access.auth.MAX_KNOWN", 3)
    assert MAX_KNOWN > 3
    world = sample_world()
    keys = authenticator(world)
    for number in range(5):
        world.add_key(f"wasup_{number}_0123456789abcdefghijklmnopqrstuvwxyz", COMPANY_A)
        await keys.authenticate(bearer(f"wasup_{number}_0123456789abcdefghijklmnopqrstuvwxyz"), HERE)

    await keys.authenticate(bearer("wasup_4_0123456789abcdefghijklmnopqrstuvwxyz"), HERE)
    assert world.key_lookups == 5
    await keys.authenticate(bearer("wasup_0_0123456789abcdefghijklmnopqrstuvwxyz"), HERE)
    assert world.key_lookups == 6


async def test_memory_of_addresses_is_bounded() -> None:
    """An attacker with many addresses cannot fill the memory."""
    keys = authenticator(sample_world(), failures=1, addresses=16)
    for number in range(40):
        await refusal(keys, WRONG, (f"192.0.2.{number}", 1))

    assert len(keys._limit._failures) == 16


async def follow(keys: Authenticator, seconds: float) -> None:
    """Let it look for revocations for a while."""
    with trio.move_on_after(seconds):
        await keys.follow_revocations()


async def test_a_revocation_anywhere_is_heard_of(autojump_clock: MockClock) -> None:
    """The key is refused, and the connections it holds open are called back within a second; another key is not touched."""
    world = sample_world()
    keys = authenticator(world)
    principal = await keys.authenticate(bearer(A_KEY), HERE)
    admin = await keys.authenticate(bearer(ADMIN_KEY), HERE)
    told: list[float] = []
    began = trio.current_time()
    with (
        keys.watching(principal, lambda: told.append(trio.current_time() - began)),
        keys.watching(admin, lambda: pytest.fail("this key was not revoked")),
    ):
        world.revoke(A_KEY)
        await follow(keys, REVOCATIONS_EVERY_S + 0.1)

    assert told == [REVOCATIONS_EVERY_S]
    assert (await refusal(keys, A_KEY)).kind.code == "unauthorized"
    assert (await keys.authenticate(bearer(ADMIN_KEY), HERE)) == admin


async def test_revocations_during_an_outage_are_heard_of_after_it(autojump_clock: MockClock) -> None:
    """The first look that succeeds goes back to the last one that did."""
    world = sample_world()
    asked: list[float] = []

    class Keys(MemoryKeys):
        async def revoked(self, within_s: float) -> frozenset[str]:
            found = await super().revoked(within_s)
            asked.append(within_s)
            return found

    keys = Authenticator(Keys(world), Metrics(CollectorRegistry()), HttpSettings(), AuditTrail(MemoryAudit(world)))

    async def come_back() -> None:
        world.storage_is_away = True
        await trio.sleep(300)
        world.storage_is_away = False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come_back)
        await follow(keys, 300 + 3.5 * REVOCATIONS_EVERY_S)

    assert asked[0] >= REVOKED_WITHIN_S + 300
    assert asked[1] == REVOKED_WITHIN_S + REVOCATIONS_EVERY_S


async def test_nobody_is_told_after_the_watch(autojump_clock: MockClock) -> None:
    """The watch of a stream that has ended is removed."""
    world = sample_world()
    keys = authenticator(world)
    principal = await keys.authenticate(bearer(A_KEY), HERE)
    with keys.watching(principal, lambda: pytest.fail("it has ended")):
        pass
    world.revoke(A_KEY)
    await follow(keys, 2 * REVOCATIONS_EVERY_S)

    assert keys._watchers == {}


async def test_a_ticket_stands_for_its_key_once(mock_clock: MockClock) -> None:
    """The same principal; a second use, a late one or an invented ticket is a failed try like a wrong key."""
    world = sample_world()
    keys = authenticator(world, failures=3)
    principal = await keys.authenticate(bearer(A_KEY), HERE)
    ticket, ttl_s = keys.issue_ticket(bearer(A_KEY), principal)
    late, _ = keys.issue_ticket(bearer(A_KEY), principal)

    assert await keys.redeem(ticket, HERE) == principal
    for wrong in (ticket, "made up", late):
        if wrong is late:
            mock_clock.jump(ttl_s)
        with pytest.raises(Problem) as caught:
            await keys.redeem(wrong, HERE)
        assert caught.value.kind.code == "unauthorized"
    with pytest.raises(Problem) as caught:
        await keys.redeem("made up", HERE)
    assert caught.value.kind.code == "too_many_failures"


async def test_a_ticket_of_a_revoked_key_is_worth_nothing(mock_clock: MockClock) -> None:
    """The ticket's key is checked."""
    world = sample_world()
    keys = authenticator(world)
    principal = await keys.authenticate(bearer(A_KEY), HERE)
    ticket, _ = keys.issue_ticket(bearer(A_KEY), principal)
    world.revoke(A_KEY)
    mock_clock.jump(FRESH_S)

    with pytest.raises(Problem) as caught:
        await keys.redeem(ticket, HERE)
    assert caught.value.kind.code == "unauthorized"


def test_tickets_are_bounded() -> None:
    """One too many is refused, with the time until the first of them ends; those that have ended make room."""
    trio.run(_fill_tickets, clock=MockClock())


async def _fill_tickets() -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    tickets = Tickets(limit=2, ttl_s=30.0)
    tickets.issue(ADMIN, b"a")
    clock.jump(10)
    tickets.issue(ADMIN, b"a")
    with pytest.raises(Problem) as caught:
        tickets.issue(ADMIN, b"a")
    assert (caught.value.kind.code, caught.value.retry_after_s) == ("too_many_tickets", 20.0)
    clock.jump(20)
    tickets.issue(ADMIN, b"a")
