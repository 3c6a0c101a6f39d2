"""The rate limit in a real Redis: exact across daemons, and no send is delayed when Redis is killed, frozen or away."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

import coredis
import pytest
import trio
from prometheus_client import CollectorRegistry

from actors.daemon.metrics import Metrics
from actors.limiter import LimiterActor
from actors.messages import Allowance, Rate, SetRateLimit, TakeToken
from actors.redis_windows import RedisWindows
from config.secret import Secret
from config.sections import RateLimitSettings
from supervisor import ChildSpec, SupervisorSpec, System, open_system
from tests.support.redis import Redis, redis

__all__ = ["redis"]

COMPANY = "962302"
QUICK = RateLimitSettings(redis_timeout_ms=2000, redis_retry_min_s=0.05, redis_retry_max_s=0.2)
"""Tolerant of a busy machine, and soon back."""


@dataclass
class Limiter:
    """One daemon's limiter."""

    system: System
    metrics: Metrics

    async def take(self, company: str = COMPANY) -> Allowance:
        """Take a token."""
        return await self.system.ref("/limiter").ask(TakeToken(company))

    async def allowed(self, times: int) -> int:
        """How many of that many simultaneous requests are allowed."""
        found: list[Allowance] = []

        async def take() -> None:
            found.append(await self.take())

        async with trio.open_nursery() as nursery:
            for _ in range(times):
                nursery.start_soon(take)
        return sum(allowance.allowed for allowance in found)

    async def wait_for(self, backend: str) -> None:
        """Wait until it counts there."""
        await until(lambda: self.metrics.rate_limit_backend == backend)


@asynccontextmanager
async def limiter(
    url: Secret, *, limit: int = 30, window_s: float = 60.0, settings: RateLimitSettings = QUICK
) -> AsyncGenerator[Limiter]:
    """A running limiter that knows this Redis."""
    metrics = Metrics(CollectorRegistry())
    actor: Callable[[object], LimiterActor] = lambda _: LimiterActor(  # noqa: E731
        rates={"messages": Rate(limit, window_s), "lookups": Rate(2, window_s)},
        metrics=metrics,
        settings=settings,
        shared=RedisWindows(url),
    )
    async with open_system(SupervisorSpec([ChildSpec("limiter", actor)])) as system:
        yield Limiter(system, metrics)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition that other tasks bring about."""
    with trio.fail_after(30):
        while not is_so():
            await trio.sleep(0.005)


async def test_the_limit_is_exact_across_daemons(redis: Redis) -> None:
    """Three daemons that take at once as fast as they can get 30 together, and another company has its own."""
    found: list[int] = []
    async with limiter(redis.url) as one, limiter(redis.url) as two, limiter(redis.url) as three:

        async def take(each: Limiter) -> None:
            await each.wait_for("redis")
            found.append(await each.allowed(50))

        async with trio.open_nursery() as nursery:
            for each in (one, two, three):
                nursery.start_soon(take, each)
        refused = await one.take()
        other = await two.take("962303")

    assert sum(found) == 30
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert 0 < refused.reset_after_s <= 60
    assert (other.allowed, other.remaining) == (True, 29)


async def test_look_ups_are_exact_across_daemons_too(redis: Redis) -> None:
    """In a window of their own, beside that of the same company's messages."""
    async with limiter(redis.url) as one, limiter(redis.url) as two:
        for each in (one, two):
            await each.wait_for("redis")
        taken = [
            (await each.system.ref("/limiter").ask(TakeToken(COMPANY, "lookups"))).allowed
            for each in (one, two, one, two)
        ]
        message = await one.take()

    assert taken == [True, True, False, False]
    assert message.remaining == 29


async def test_the_window_slides(redis: Redis) -> None:
    """By Redis' clock: within any window there are never more than the limit, and waiting the time given is enough."""
    taken: list[float] = []
    async with limiter(redis.url, limit=3, window_s=0.5) as one:
        await one.wait_for("redis")
        while len(taken) < 10:
            allowance = await one.take()
            if allowance.allowed:
                taken.append(time.monotonic())
            else:
                await trio.sleep(allowance.reset_after_s)
                assert (await one.take()).allowed
                taken.append(time.monotonic())

    # Each was taken before its reply arrived: earlier by at most the time of one call.
    assert all(later - earlier > 0.4 for earlier, later in zip(taken, taken[3:], strict=False))


async def test_keys_are_named_as_documented_and_do_not_stay(redis: Redis) -> None:
    """`whatsapp:ratelimit:{companyId}`, gone by itself after the window."""
    async with limiter(redis.url, window_s=0.3) as one:
        await one.wait_for("redis")
        await one.take()
        async with coredis.Redis.from_url(redis.url.reveal()) as client:
            assert await client.keys("*") == {b"whatsapp:ratelimit:962302"}
            with trio.fail_after(30):
                while await client.keys("*"):
                    await trio.sleep(0.02)


async def test_a_killed_redis_is_made_up_for(redis: Redis) -> None:
    """Memory counts on from what was taken; when Redis is back (empty) it gets what was taken meanwhile."""
    async with limiter(redis.url, limit=10) as one, limiter(redis.url, limit=10) as two:
        for each in (one, two):
            await each.wait_for("redis")
        assert await one.allowed(4) == 4
        redis.kill()
        assert (await one.take()).remaining == 5
        assert one.metrics.rate_limit_backend == "memory"
        assert await one.allowed(2) == 2
        assert b"wasup_rate_limit_fallbacks_total 1.0" in one.metrics.exposition()
        assert b'wasup_rate_limit_backend{backend="memory"} 1.0' in one.metrics.exposition()
        redis.start()
        for each in (one, two):
            await each.take("another")
            await each.wait_for("redis")
        # Redis lost the first four; the three that memory counted are reported, so that two has one less for each.
        assert (await one.take()).remaining == 6
        assert (await two.take()).remaining == 5


async def test_a_frozen_redis_delays_one_call_a_little(redis: Redis) -> None:
    """The call that finds out waits for the time-out, no other one does; thawed, Redis counts again."""
    settings = RateLimitSettings(redis_timeout_ms=100, redis_retry_min_s=0.05, redis_retry_max_s=0.2)
    async with limiter(redis.url, settings=settings) as one:
        await one.wait_for("redis")
        await one.take()
        redis.freeze()
        took: list[float] = []
        for _ in range(20):
            began = time.perf_counter()
            assert (await one.take()).allowed
            took.append(time.perf_counter() - began)
        redis.thaw()
        await one.wait_for("redis")
        later = await one.take()

    print(
        f"a frozen Redis: first call {took[0] * 1000:.0f} ms (limit 100 ms), the slowest of the others {max(took[1:]) * 1000:.1f} ms"
    )
    assert took[0] >= 0.09
    assert sorted(took[1:])[9] < 0.09  # each of them would wait 0.1 s
    assert later.remaining in {7, 8}  # the call that was given up may have been counted when Redis went on


async def test_a_redis_that_comes_later_is_found(redis: Redis) -> None:
    """Away at the start: memory counts from the first message; no restart is needed."""
    redis.kill()
    async with limiter(redis.url) as one:
        assert (await one.take()).remaining == 29
        assert one.metrics.rate_limit_backend == "memory"
        redis.start()
        await one.wait_for("redis")
        assert (await one.take()).remaining == 28


@pytest.mark.parametrize("password", ["p@ss:w/rd#1", "a/b+c=", "50%"])
async def test_a_password_is_percent_encoded_in_the_url(redis: Redis, password: str) -> None:
    """As every URL has it; Redis gets it decoded."""
    async with coredis.Redis.from_url(redis.url.reveal()) as client:
        await client.config_set({"requirepass": password})
    url = redis.url.reveal().replace("unix://", f"unix://:{quote(password, safe='')}@")
    async with limiter(Secret(url)) as one:
        await one.wait_for("redis")
        assert (await one.take()).allowed


async def test_a_changed_limit_holds_in_redis_too(redis: Redis) -> None:
    """At once, also for tokens taken before."""
    async with limiter(redis.url) as one:
        await one.wait_for("redis")
        assert await one.allowed(5) == 5
        one.system.ref("/limiter").tell(SetRateLimit({"messages": Rate(3, 60.0), "lookups": Rate(2, 60.0)}))
        refused = await one.take()

    assert (refused.allowed, refused.limit, refused.remaining) == (False, 3, 0)
    assert 50 < refused.reset_after_s <= 60


async def test_refusals_are_counted_by_backend(redis: Redis) -> None:
    """So that it shows where the limit was held."""
    async with limiter(redis.url, limit=1) as one:
        await one.wait_for("redis")
        assert await one.allowed(3) == 1
        counted = one.metrics.exposition()

    assert b'wasup_rate_limited_total{backend="redis"} 2.0' in counted
    assert b'wasup_rate_limit_backend{backend="redis"} 1.0' in counted


@pytest.mark.parametrize("url", ["unix:///nonexistent/redis.sock", "redis://127.0.0.1:1/0"])
async def test_without_a_redis_at_the_address_memory_counts(url: str) -> None:
    """The limit holds, and nothing waits."""
    async with limiter(Secret(url), limit=5) as one:
        assert await one.allowed(10) == 5
        assert one.metrics.rate_limit_backend == "memory"
