"""The sliding window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import trio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from trio.testing import MockClock

from actors.daemon.metrics import Metrics
from actors.limiter import LimiterActor, SharedWindowsAway, SlidingWindow
from actors.messages import Allowance, Counted, Rate, SetRateLimit, TakeToken
from supervisor import ChildSpec, SupervisorSpec, open_system

ONE = Rate(1, 60.0)
EACH: dict[Counted, Rate] = dict.fromkeys(("messages", "lookups", "orders", "admin_orders"), ONE)


def test_the_thirty_first_in_a_minute_is_refused_and_told_when() -> None:
    """30 pass, the 31st is refused with the seconds until the first leaves the window."""
    window = SlidingWindow(Rate(30, 60.0))
    taken = [window.take(float(second)) for second in range(30)]
    refused = window.take(30.0)

    assert all(allowance.allowed for allowance in taken)
    assert (refused.allowed, refused.remaining, refused.reset_after_s) == (False, 0, 30.0)


@given(st.lists(st.floats(0.0, 5.0), max_size=200))
def test_no_window_ever_holds_more_than_the_limit(gaps: list[float]) -> None:
    """However the requests fall, at most 3 are allowed within any 10 s."""
    window, now, allowed = SlidingWindow(Rate(3, 10.0)), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if window.take(now).allowed:
            allowed.append(now)

    assert all(later - earlier >= 10.0 for earlier, later in zip(allowed, allowed[3:], strict=False))


@given(st.lists(st.floats(0.0, 5.0), max_size=50))
def test_a_refused_taking_is_allowed_exactly_when_it_was_told(gaps: list[float]) -> None:
    """`reset_after_s` is exact: waiting that long is enough."""
    window, now = SlidingWindow(Rate(2, 10.0)), 0.0
    for gap in gaps:
        now += gap
        allowance = window.take(now)
        if not allowance.allowed:
            now += allowance.reset_after_s
            assert window.take(now + 1e-6).allowed


def test_an_idle_company_is_forgotten() -> None:
    """`forget` says whether the window is empty."""
    window = SlidingWindow(Rate(1, 10.0))
    window.take(0.0)

    assert (window.forget(9.0), window.forget(10.0)) == (False, True)


def test_a_lowered_limit_waits_for_enough_to_leave() -> None:
    """Tokens stay taken: with three in the window and room for one now, all three have to leave before the next is allowed."""
    window = SlidingWindow(Rate(3, 60.0))
    for now in (0.0, 10.0, 20.0):
        window.take(now)
    window.change(Rate(1, 60.0))

    refused = window.take(30.0)

    assert (refused.allowed, refused.remaining, refused.reset_after_s) == (False, 0, 50.0)


async def test_refusals_are_counted_by_where_they_were_counted() -> None:
    """A backend of its own, so that a limit that fell back to memory shows."""
    metrics = Metrics(CollectorRegistry())
    spec = SupervisorSpec([ChildSpec("limiter", lambda _: LimiterActor(rates=EACH, metrics=metrics))])
    async with open_system(spec) as system:
        for _ in range(3):
            await system.ref("/limiter").ask(TakeToken("962302"))

    assert b'wasup_rate_limited_total{backend="memory"} 2.0' in metrics.exposition()


async def test_look_ups_are_counted_by_themselves() -> None:
    """Neither takes from the other, each has its own limit, and a refused look-up does not count as a refused send."""
    metrics = Metrics(CollectorRegistry())
    actor = partial(LimiterActor, rates={**EACH, "messages": Rate(2, 60.0)}, metrics=metrics)
    async with open_system(SupervisorSpec([ChildSpec("limiter", lambda _: actor())])) as system:
        limiter = system.ref("/limiter")
        looked = [await limiter.ask(TakeToken("962302", "lookups")) for _ in range(2)]
        sent = [await limiter.ask(TakeToken("962302")) for _ in range(2)]
        limiter.tell(SetRateLimit({**EACH, "messages": Rate(2, 60.0), "lookups": Rate(3, 60.0)}))
        more = await limiter.ask(TakeToken("962302", "lookups"))
        other = await limiter.ask(TakeToken("962303", "lookups"))

    assert [(one.allowed, one.limit) for one in looked] == [(True, 1), (False, 1)]
    assert [(one.allowed, one.limit) for one in sent] == [(True, 2), (True, 2)]
    assert (more.allowed, more.limit, more.remaining, other.remaining) == (True, 3, 1, 2)
    counted = metrics.exposition()
    assert b'wasup_rate_limited_total{backend="memory"} 0.0' in counted
    assert b'wasup_lookups_limited_total{backend="memory"} 1.0' in counted
    assert b'wasup_lookups_limited_total{backend="redis"} 0.0' in counted


async def test_a_companys_own_orders_do_not_use_up_an_administrators() -> None:
    """Both are limited, and both refusals are counted as orders."""
    metrics = Metrics(CollectorRegistry())
    async with open_system(
        SupervisorSpec([ChildSpec("limiter", lambda _: LimiterActor(rates=EACH, metrics=metrics))])
    ) as system:
        limiter = system.ref("/limiter")
        asked: list[Counted] = ["orders", "orders", "admin_orders", "admin_orders"]
        allowed = [(await limiter.ask(TakeToken("962302", of))).allowed for of in asked]

    assert allowed == [True, False, True, False]
    assert b'wasup_orders_limited_total{backend="memory"} 2.0' in metrics.exposition()
    assert b'wasup_lookups_limited_total{backend="memory"} 0.0' in metrics.exposition()


class AwayRedis:
    """Cannot be connected to until `come` is called."""

    def __init__(self) -> None:
        self.tries = 0
        self._is_there = False

    def come(self) -> None:
        """Let it be connected to from now on."""
        self._is_there = True

    async def serve(self, on_ready: Callable[[], None], until: trio.Event) -> None:
        """As in `SharedWindows`."""
        self.tries += 1
        if not self._is_there:
            raise SharedWindowsAway("not there")
        on_ready()
        await until.wait()

    async def take(self, window: str, rate: Rate, owed_s: Sequence[float]) -> Allowance:
        """As in `SharedWindows`: it goes away again."""
        self._is_there = False
        raise SharedWindowsAway("gone")


async def test_a_redis_never_reached_is_reported_and_counted_once(autojump_clock: MockClock) -> None:
    """However often it is tried; and once more when it was found and goes away again."""
    metrics, redis = Metrics(CollectorRegistry()), AwayRedis()
    spec = ChildSpec("limiter", lambda _: LimiterActor(rates=EACH, metrics=metrics, shared=redis))
    with capture_logs() as lines:
        async with open_system(SupervisorSpec([spec])) as system:
            await trio.sleep(600)
            assert redis.tries > 5
            assert [line["event"] for line in lines].count("rate_limit_in_memory") == 1
            assert b"wasup_rate_limit_fallbacks_total 1.0" in metrics.exposition()
            redis.come()
            await trio.sleep(600)
            await system.ref("/limiter").ask(TakeToken("962302"))
            await trio.sleep(600)

    assert [line["event"] for line in lines].count("rate_limit_in_memory") == 2
    assert b"wasup_rate_limit_fallbacks_total 2.0" in metrics.exposition()
