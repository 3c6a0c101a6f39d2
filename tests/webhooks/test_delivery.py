"""Events reach applications: all of them, in order, signed, whatever happens in between."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import msgspec
import trio

from storage.database.pool import Database
from storage.tables import webhook_dead_letters, webhook_deliveries, webhooks
from storage.tables.webhooks import Change
from tests.outbound.receiver import Received, listening
from tests.support.waiting import wait_until
from tests.webhooks.world import (
    COMPANY,
    OTHER,
    PATIENCE_S,
    delivering,
    event,
    make_webhook,
    text_of,
    texts,
    wait_received,
)

Answer = tuple[int, dict[str, str], bytes]
FINE: Answer = (204, {}, b"")
BROKEN: Answer = (500, {}, b"no")


async def test_an_event_arrives_whole_signed_and_named(database: Database) -> None:
    """Body as in the API, the headers that docs/webhooks.md promises, signatures that its receiver code accepts."""
    async with listening() as host, delivering(database) as daemon:
        webhook_id, secret = await make_webhook(database, host)
        daemon.look()
        sent = event("hello")
        await daemon.publish(sent)
        await wait_received(host, 1)
        await daemon.wait_cursor(webhook_id, 1)

    request = host.received[0]
    body = msgspec.json.decode(request.body)
    assert (request.method, request.target) == ("POST", "/hook")
    assert body == {
        "id": sent.id,
        "seq": 1,
        "type": "message",
        "companyId": COMPANY,
        "timestamp": 1.0,
        "payload": {"text": "hello"},
    }
    headers = request.headers
    assert headers["content-type"] == "application/json"
    assert (headers["x-event-id"], headers["x-event-type"], headers["x-attempt"]) == (sent.id, "message", "1")
    assert headers["x-webhook-id"] == webhook_id
    assert len(headers["x-delivery-id"]) == 32
    plain = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={plain}"
    stamp, signature = (part.partition("=")[2] for part in headers["x-wasup-signature"].split(","))
    assert signature == hmac.new(secret.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
    assert abs(time.time() - int(stamp)) < 60


async def test_events_of_a_company_arrive_in_their_order(database: Database) -> None:
    """Although companies are delivered in parallel and some attempts fail."""
    failures = {"3", "7", "b2"}

    async def sometimes(request: Received) -> Answer:
        text = text_of(request)
        if text in failures:
            failures.discard(text)
            return BROKEN
        return FINE

    async with listening(sometimes) as host, delivering(database) as daemon:
        webhook_id = await daemon.webhook(host)
        for number in range(10):
            await daemon.publish(event(str(number)), event(f"b{number}", company_id=OTHER))
        await daemon.wait_cursor(webhook_id, 20)

    mine, others = texts(host, COMPANY), texts(host, OTHER)
    assert mine == ["0", "1", "2", "3", "3", "4", "5", "6", "7", "7", "8", "9"]
    assert others == ["b0", "b1", "b2", "b2", *(f"b{number}" for number in range(3, 10))]


async def test_only_what_is_wanted_is_delivered(database: Database) -> None:
    """By company and type; the cursor passes over the rest."""
    async with listening() as host, delivering(database) as daemon:
        webhook_id = await daemon.webhook(host, companies=[COMPANY], types=["message", "status"])
        await daemon.publish(
            event("yes"), event("no", company_id=OTHER), event("no", kind="qr"), event("also", kind="status")
        )
        await daemon.wait_cursor(webhook_id, 4)

    assert texts(host) == ["yes", "also"]


async def test_what_happened_before_is_not_delivered(database: Database) -> None:
    """A webhook gets the events since its creation."""
    async with listening() as host, delivering(database) as daemon:
        await daemon.publish(event("before"))
        webhook_id = await daemon.webhook(host)
        await daemon.publish(event("after"))
        await daemon.wait_cursor(webhook_id, 2)

    assert texts(host) == ["after"]


async def test_a_failed_delivery_is_tried_again_under_the_same_name(database: Database) -> None:
    """X-Attempt counts, X-Delivery-Id and X-Event-Id stay; the metrics count attempts and failures."""

    async def third_time(request: Received) -> Answer:
        return FINE if request.headers["x-attempt"] == "3" else BROKEN

    async with listening(third_time) as host, delivering(database) as daemon:
        webhook_id = await daemon.webhook(host)
        await daemon.publish(event())
        await daemon.wait_cursor(webhook_id, 1)
        found = await daemon.found(webhook_id)
        failed = daemon.metric("wasup_webhook_failures_total", reason="status_500")
        delivered = daemon.metric("wasup_webhook_deliveries_total", outcome="delivered")

    assert [request.headers["x-attempt"] for request in host.received] == ["1", "2", "3"]
    assert len({request.headers["x-delivery-id"] for request in host.received}) == 1
    assert len({request.headers["x-event-id"] for request in host.received}) == 1
    assert (found.failure, found.failed_at is not None, found.delivered_at is not None) == ("status_500", True, True)
    assert (failed, delivered) == (2, 1)


async def test_an_event_nobody_takes_becomes_a_dead_letter_and_can_be_replayed(database: Database) -> None:
    """After its last attempt the next event goes; the letter says what happened; a replay that succeeds removes it."""
    refused = {"poison"}

    async def refuse(request: Received) -> Answer:
        return (422, {}, b"") if text_of(request) in refused else FINE

    async with listening(refuse) as host, delivering(database, max_attempts=3) as daemon:
        webhook_id = await daemon.webhook(host)
        await daemon.publish(event("poison"), event("next"))
        await daemon.wait_cursor(webhook_id, 2)
        before_replay = texts(host)
        [letter] = await webhook_dead_letters.list_page(database, None, webhook_id)
        refused.clear()
        assert await database.write(webhook_dead_letters.ask_for_replay, None, webhook_id, None) == 1
        await daemon.wait_dead(webhook_id, 0)
        gave_up = daemon.metric("wasup_webhook_dead_letters_total")

    assert before_replay == ["poison", "poison", "poison", "next"]
    assert (letter.seq, letter.attempts, letter.failure, letter.status) == (1, 3, "status_422", 422)
    assert host.received[-1].body == letter.body
    assert host.received[-1].headers["x-attempt"] == "4"
    assert host.received[-1].headers["x-delivery-id"] == host.received[0].headers["x-delivery-id"]
    assert gave_up == 1


async def test_a_replay_that_fails_stays_a_dead_letter(database: Database) -> None:
    """It gets new attempts, and is not replayed for ever."""

    async def refuse(_: Received) -> Answer:
        return BROKEN

    async with listening(refuse) as host, delivering(database, max_attempts=2) as daemon:
        webhook_id = await daemon.webhook(host)
        await daemon.publish(event())
        await daemon.wait_dead(webhook_id, 1)
        await database.write(webhook_dead_letters.ask_for_replay, None, webhook_id, None)

        async def is_dead_again() -> bool:
            [letter] = await webhook_dead_letters.list_page(database, None, webhook_id)
            return letter.attempts == 4 and letter.replay_at is None

        await wait_until(is_dead_again, seconds=PATIENCE_S)

    assert len(host.received) == 4


async def test_an_endpoint_that_hangs_costs_no_other_anything(database: Database) -> None:
    """Twenty that never answer, one that does: it gets everything before any of the twenty has timed out."""

    async def never(_: Received) -> None:
        await trio.lowlevel.checkpoint()

    patient: dict[str, Any] = {"timeout_s": 60.0, "lease_ttl_s": 300.0}
    async with listening(never) as hanging, listening() as good, delivering(database, **patient) as daemon:
        for number in range(20):
            await make_webhook(database, hanging, f"/{number}")
        webhook_id = await daemon.webhook(good)
        for number in range(20):
            await daemon.publish(*(event(str(number), company_id=f"c{n}") for n in range(10)))
        await daemon.wait_cursor(webhook_id, 200)
        failed = daemon.metric("wasup_webhook_deliveries_total", outcome="failed")
        # Each has as many connections as its concurrency allows, and no more.
        await wait_until(lambda: len(hanging.received) == 160, seconds=PATIENCE_S)

    assert len(good.received) == 200
    assert failed == 0
    assert {request.target for request in hanging.received} == {f"/{number}" for number in range(20)}


async def test_endpoints_of_one_company_leave_deliveries_for_others(database: Database) -> None:
    """Ten that never answer, of one company: of thirty simultaneous deliveries they have ten, and another company's are delivered."""

    async def never(_: Received) -> None:
        await trio.lowlevel.checkpoint()

    patient: dict[str, Any] = {"timeout_s": 60.0, "lease_ttl_s": 300.0, "max_deliveries": 30, "concurrency": 8}
    async with listening(never) as hanging, listening() as good, delivering(database, **patient) as daemon:
        for number in range(20):
            await make_webhook(database, hanging, f"/{number}", companies=[COMPANY])
        webhook_id = await daemon.webhook(good, companies=[OTHER])
        await daemon.publish(event("to twenty"))
        await wait_until(lambda: len(hanging.received) == 10, seconds=PATIENCE_S)
        await daemon.publish(*(event(str(number), company_id=OTHER) for number in range(20)))
        await daemon.wait_cursor(webhook_id, 21)

    assert texts(good) == [str(number) for number in range(20)]
    assert len(hanging.received) == 10


async def test_an_endpoint_that_fails_all_the_time_is_suspended(database: Database) -> None:
    """After its failures in a row one attempt at a time is made, until one succeeds; then everything arrives, in order."""
    is_down = True

    async def down(_: Received) -> Answer:
        return BROKEN if is_down else FINE

    settings: dict[str, Any] = {
        "circuit_failures": 3,
        "circuit_min_s": 0.3,
        "circuit_max_s": 0.3,
        "max_attempts": 1000,
    }
    async with listening(down) as host, delivering(database, **settings) as daemon:
        webhook_id = await daemon.webhook(host)
        await daemon.publish(*(event(str(n), company_id=f"c{n}") for n in range(8)))

        async def is_suspended() -> bool:
            return (await daemon.found(webhook_id)).suspended_until is not None

        await wait_until(is_suspended, seconds=PATIENCE_S)
        suspended = daemon.metric("wasup_webhook_suspended", webhook=webhook_id)
        count = len(host.received)
        await wait_received(host, count + 2)
        in_hand = list(host.received[count:])
        is_down = False
        await daemon.wait_cursor(webhook_id, 8)
        found = await daemon.found(webhook_id)

    assert count <= 8  # attempts under way when the circuit opened, and no others
    assert len(in_hand) == 2
    assert (suspended, found.suspended_until) == (1, None)
    assert {text_of(request) for request in host.received[-8:]} == {str(n) for n in range(8)}


async def test_retry_after_is_waited_for(database: Database) -> None:
    """As long as the longest pause allows."""

    async def busy(request: Received) -> Answer:
        return (429, {"Retry-After": "3600"}, b"") if request.headers["x-attempt"] == "1" else FINE

    async with listening(busy) as host, delivering(database, retry_max_s=0.5) as daemon:
        webhook_id = await daemon.webhook(host)
        began = trio.current_time()
        await daemon.publish(event())
        await daemon.wait_cursor(webhook_id, 1)

    assert trio.current_time() - began >= 0.5
    assert len(host.received) == 2


async def test_a_redirect_is_a_failure(database: Database) -> None:
    """It is not followed."""

    async def redirect(_: Received) -> Answer:
        return 302, {"Location": "/elsewhere"}, b""

    async with listening(redirect) as host, delivering(database, max_attempts=1) as daemon:
        webhook_id = await daemon.webhook(host)
        await daemon.publish(event())
        await daemon.wait_dead(webhook_id, 1)
        [letter] = await webhook_dead_letters.list_page(database, None, webhook_id)

    assert letter.failure == "status_302"
    assert [request.target for request in host.received] == ["/hook"]


async def test_what_was_not_delivered_before_a_restart_is_delivered_after_it(database: Database) -> None:
    """Events from the time without a daemon too; the attempts of the failing event are counted on."""
    is_down = True

    async def down(_: Received) -> Answer:
        return BROKEN if is_down else FINE

    async with listening(down) as host:
        async with delivering(database, retry_min_s=0.05, max_attempts=1000) as daemon:
            webhook_id = await daemon.webhook(host)
            await daemon.publish(event("one"))
            await wait_received(host, 3)

            async def is_written() -> bool:
                rows = await database.fetch("SELECT attempts FROM webhook_retries")
                return bool(rows) and rows[0]["attempts"] >= 3

            await wait_until(is_written, seconds=PATIENCE_S)
        attempts = len(host.received)
        async with delivering(database, max_attempts=1000) as daemon:
            await daemon.publish(event("two"))
            is_down = False
            await daemon.wait_cursor(webhook_id, 2)

    seen = [(text_of(r), int(r.headers["x-attempt"])) for r in host.received]
    # The last attempt before the stop may have been cut off, and is then made again under its number.
    assert all(attempt >= attempts for text, attempt in seen[attempts:] if text == "one")
    assert [text for text, _ in seen if text == "two"] == ["two"]
    assert [row["seq"] for row in await database.fetch("SELECT seq FROM webhook_retries")] == []


async def test_crashes_of_every_actor_lose_nothing(database: Database) -> None:
    """Killed again and again in the middle: at least once each, and in order."""
    async with listening() as host, delivering(database) as daemon:
        webhook_id = await daemon.webhook(host)
        daemon.look()
        await daemon.publish(event("0"))
        await wait_received(host, 1)
        for number in range(1, 30):
            await daemon.publish(event(str(number)))
            if number % 5 == 0:
                victim = (f"/webhooks/{webhook_id}", "/keeper", "/events", "/storage", "/webhooks")[number // 5 - 1]
                daemon.system.kill(victim)
        await daemon.wait_cursor(webhook_id, 30)

    firsts = list(dict.fromkeys(texts(host)))
    assert firsts == [str(number) for number in range(30)]


async def test_two_daemons_do_not_both_deliver(database: Database) -> None:
    """Each event once, whichever daemon stored it; when one stops in order the other takes over."""
    async with listening() as host, delivering(database, owner="there/1") as there:
        async with delivering(database, owner="here/1") as here:
            webhook_ids = [(await make_webhook(database, host, f"/{number}"))[0] for number in range(4)]
            for number in range(20):
                await (here if number % 2 else there).publish(event(str(number)))
            for webhook_id in webhook_ids:
                await here.wait_cursor(webhook_id, 20)
        await there.publish(event("later"))
        for webhook_id in webhook_ids:
            await there.wait_cursor(webhook_id, 21)

    for number in range(4):
        mine = [text_of(request) for request in host.received if request.target == f"/{number}"]
        assert mine == [*(str(n) for n in range(20)), "later"]


async def test_a_killed_daemons_webhooks_are_taken_over_when_its_lease_ends(database: Database) -> None:
    """Not before. A new start of the same installation does not wait."""
    async with listening() as host:
        first, _ = await make_webhook(database, host, "/first")
        second, _ = await make_webhook(database, host, "/second")
        await database.write(webhook_deliveries.acquire, first, "killed/1", 1.0)
        await database.write(webhook_deliveries.acquire, second, "here/0", 3600.0)
        ends = await database.fetchval("SELECT lease_expires_at FROM webhooks WHERE webhook_id = $1", first)
        async with delivering(database, owner="here/1") as daemon:
            await daemon.publish(event())
            await daemon.wait_cursor(second, 1)
            await daemon.wait_cursor(first, 1)
            delivered_at = (await daemon.found(first)).delivered_at

    assert delivered_at is not None
    assert delivered_at >= ends
    assert sorted(request.target for request in host.received) == ["/first", "/second"]


async def test_nothing_is_begun_that_might_outlast_the_lease(database: Database) -> None:
    """With less of the lease left than a delivery may take, the endpoint is not called."""
    async with listening() as host, delivering(database, lease_ttl_s=2.0, timeout_s=3.0) as daemon:
        webhook_id = await daemon.webhook(host)
        daemon.look()
        await daemon.publish(event())
        await wait_until(lambda: daemon.metric("wasup_webhooks") == 1, seconds=PATIENCE_S)
        await wait_until(
            lambda: (daemon.metric("wasup_webhook_lag_seconds", webhook=webhook_id) or 0) > 0, seconds=PATIENCE_S
        )

    assert host.received == []


async def test_a_change_is_followed_wherever_it_was_made(database: Database) -> None:
    """Another URL, switched off, switched on again (from where it was), removed."""
    async with listening() as old, listening() as new, delivering(database) as daemon:
        webhook_id = await daemon.webhook(old)

        async def change(**what: object) -> None:
            assert await database.write(webhooks.change, None, webhook_id, Change(**what))  # type: ignore[arg-type]
            version = (await daemon.found(webhook_id)).version

            async def is_followed() -> bool:
                state = await database.fetchrow("SELECT lease_owner, enabled FROM webhooks WHERE version = $1", version)
                return state is not None and (state["lease_owner"] is not None) == state["enabled"]

            # It releases the lease to take it anew, as it is now.
            await wait_until(is_followed, seconds=PATIENCE_S)

        await daemon.publish(event("to old"))
        await daemon.wait_cursor(webhook_id, 1)
        await change(enabled=False)
        await daemon.publish(event("while off"))
        await change(enabled=True, url=f"http://127.0.0.1:{new.port}/new")
        await daemon.wait_cursor(webhook_id, 2)
        await database.write(webhooks.remove, None, webhook_id)
        await wait_until(lambda: daemon.metric("wasup_webhooks") == 0, seconds=PATIENCE_S)
        await daemon.publish(event("too late"))

    assert (texts(old), texts(new)) == (["to old"], ["while off"])


async def test_a_narrowed_webhook_takes_no_letters_of_others_along(database: Database) -> None:
    """A replay that was requested while the webhook was for two companies does not go to the URL it has now that it is for one; nor
    when it is for both again, unless it is requested again."""

    async def refuse(_: Received) -> Answer:
        return BROKEN

    patient: dict[str, Any] = {"max_attempts": 1, "circuit_failures": 1, "circuit_min_s": 60.0, "circuit_max_s": 60.0}
    async with listening(refuse) as old, listening() as new, delivering(database, **patient) as daemon:
        webhook_id = await daemon.webhook(old, companies=[COMPANY, OTHER])
        await daemon.publish(event("of A"), event("of B", company_id=OTHER))
        await daemon.wait_cursor(webhook_id, 2)
        assert await database.write(webhook_dead_letters.ask_for_replay, None, webhook_id, None) == 2
        narrowed = Change(companies=[COMPANY], url=f"http://127.0.0.1:{new.port}/new")
        await database.write(webhooks.change, None, webhook_id, narrowed)
        await daemon.wait_dead(webhook_id, 1)
        await database.write(webhooks.change, None, webhook_id, Change(companies=[COMPANY, OTHER]))
        await daemon.publish(event("later", company_id=OTHER))
        await daemon.wait_cursor(webhook_id, 3)
        [left] = await webhook_dead_letters.list_page(database, None, webhook_id)

    assert texts(new) == ["of A", "later"]
    assert (left.company_id, left.replay_at) == (OTHER, None)


async def test_what_waits_for_another_attempt_stays_with_the_url_it_was_for(database: Database) -> None:
    """An event of a company that the webhook is no longer for is neither sent to its new URL nor kept as a dead letter of it; events of
    the remaining company are delivered there."""
    tried: list[str] = []
    hold = trio.Event()

    async def answer_late(request: Received) -> Answer:
        tried.append(text_of(request))
        await hold.wait()
        return BROKEN

    async with listening(answer_late) as old, listening() as new, delivering(database, max_attempts=1) as daemon:
        webhook_id = await daemon.webhook(old, companies=[COMPANY, OTHER])
        await daemon.publish(event("of A"), event("of B", company_id=OTHER), event("of B too", company_id=OTHER))
        await wait_until(lambda: len(tried) == 2, seconds=PATIENCE_S)
        narrowed = Change(companies=[COMPANY], url=f"http://127.0.0.1:{new.port}/new")
        await database.write(webhooks.change, None, webhook_id, narrowed)
        hold.set()  # attempts under way fail now, and were the last
        await daemon.wait_cursor(webhook_id, 3)
        letters = await webhook_dead_letters.list_page(database, None, webhook_id)

    assert sorted(tried) in (["of A", "of B"], ["of A", "of B", "of B too"])
    assert [letter.company_id for letter in letters] in ([COMPANY], [])
    assert set(texts(new)) <= {"of A"}


async def test_a_widened_webhook_misses_nothing_that_happens_from_then_on(database: Database) -> None:
    """Also while its daemon has not seen the change yet: events of the added company are not skipped."""
    async with listening() as host, delivering(database, survey_interval_s=1.0) as daemon:
        webhook_id = await daemon.webhook(host, companies=[COMPANY])
        daemon.look()
        await daemon.publish(event("before"))
        await daemon.wait_cursor(webhook_id, 1)
        await database.write(webhooks.change, None, webhook_id, Change(companies=[COMPANY, OTHER]))
        await daemon.publish(event("of B", company_id=OTHER), event("of A"))
        await wait_until(lambda: "of B" in texts(host), seconds=PATIENCE_S)

    assert texts(host, OTHER) == ["of B"]


async def test_while_two_secrets_are_valid_both_verify(database: Database) -> None:
    """The timed signature has one for each; the plain one stays with the older until that ends."""

    def valid(request: Received, secret: str) -> tuple[bool, bool]:
        stamp, *made = (part.partition("=")[2] for part in request.headers["x-wasup-signature"].split(","))
        timed = hmac.new(secret.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
        plain = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
        return timed in made, request.headers["x-hub-signature-256"] == f"sha256={plain}"

    async with listening() as host:
        webhook_id, old = await make_webhook(database, host)
        new = await database.write(webhooks.rotate, None, webhook_id, secret=None, overlap_s=3600.0)
        assert new is not None
        async with delivering(database) as daemon:
            await daemon.publish(event())
            await daemon.wait_cursor(webhook_id, 1)
        assert await database.write(webhooks.retire_previous, None, webhook_id)
        async with delivering(database) as daemon:
            await daemon.publish(event())
            await daemon.wait_cursor(webhook_id, 2)

    both, one = host.received
    assert (valid(both, old), valid(both, new)) == ((True, True), (True, False))
    assert (valid(one, old), valid(one, new)) == ((False, False), (True, True))


async def test_more_events_than_the_window_holds(database: Database) -> None:
    """Events that do not fit wait in the log; a reader that fell behind catches up from there, without a gap."""
    async with listening() as host, delivering(database, window_events=5, concurrency=2) as daemon:
        webhook_id = await daemon.webhook(host)
        for start in range(0, 300, 100):
            await daemon.publish(*(event(str(start + n), company_id=f"c{n % 3}") for n in range(100)))
        await daemon.wait_cursor(webhook_id, 300)

    assert sorted(texts(host), key=int) == [str(n) for n in range(300)]
    for company in ("c0", "c1", "c2"):
        mine = [int(text) for text in texts(host, company)]
        assert mine == sorted(mine)
