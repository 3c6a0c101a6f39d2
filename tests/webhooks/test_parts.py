"""The pure parts of deliveries: signatures, pauses, the circuit, the window."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from actors.webhook_delivery.client import delivery_id
from actors.webhook_delivery.delivery import Delivery
from actors.webhook_delivery.signing import signatures
from actors.webhooks.pauses import Circuit, pause_s
from actors.webhooks.window import Window
from config.sections import WebhookSettings
from storage.tables.webhook_secrets import Secrets


def delivery(seq: int, company_id: str = "a", *, is_replay: bool = False) -> Delivery:
    return Delivery(
        seq=seq,
        event_id=f"event-{seq}",
        type="message",
        company_id=company_id,
        body=b"{}",
        occurred_at=0.0,
        attempts=0,
        last_attempt=3,
        is_replay=is_replay,
    )


def test_signatures_are_what_github_and_others_make() -> None:
    """The example of GitHub's documentation, and the timed one beside it."""
    plain, timed = signatures(b"Hello, World!", Secrets("It's a Secret to Everybody"), 1_790_000_000)

    assert plain == (
        "X-Hub-Signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    )
    assert timed == (
        "X-Wasup-Signature",
        "t=1790000000,v1=e45eef3357b6405ff129013ebd8233f9fe445b8d041acfc3c7230303a87cd245",
    )


def test_a_delivery_is_named_by_webhook_and_event() -> None:
    """The same id for the same pair, another for another."""
    assert delivery_id("wh_1", "e") == delivery_id("wh_1", "e")
    assert len({delivery_id("wh_1", "e"), delivery_id("wh_2", "e"), delivery_id("wh_1", "f")}) == 3


def test_pauses_double_up_to_their_limit() -> None:
    """The upper half is random."""
    settings = WebhookSettings(retry_min_s=1.0, retry_max_s=10.0)
    random = Random(3)

    drawn = [[pause_s(settings, attempts, random) for _ in range(200)] for attempts in range(1, 40)]

    bounds = [1.0, 2.0, 4.0, 8.0, *[10.0] * 35]
    assert all(bound / 2 <= pause <= bound for bound, pauses in zip(bounds, drawn, strict=True) for pause in pauses)
    assert all(len(set(pauses)) > 100 for pauses in drawn)


SPARING = WebhookSettings(circuit_failures=3, circuit_min_s=10.0, circuit_max_s=25.0)


def fail(circuit: Circuit, now: float) -> bool:
    return circuit.failed(now, was_probe=circuit.tried())


def test_a_circuit_opens_after_failures_in_a_row() -> None:
    """A success in between starts the count anew."""
    circuit = Circuit(SPARING)
    assert not fail(circuit, 0.0)
    assert not fail(circuit, 0.0)
    circuit.succeeded()
    assert [fail(circuit, 1.0) for _ in range(3)] == [False, False, True]
    assert (circuit.is_open, circuit.left_s(2.0), circuit.may_try(2.0)) == (True, 9.0, False)


def test_an_open_circuit_lets_one_attempt_through_at_a_time() -> None:
    """After pauses that double up to their limit; one that succeeds closes it."""
    circuit = Circuit(SPARING)
    for _ in range(3):
        fail(circuit, 0.0)
    pauses: list[float | None] = []
    now = 10.0
    for _ in range(3):
        assert circuit.may_try(now)
        was_probe = circuit.tried()
        assert not circuit.may_try(now)
        assert not circuit.failed(now, was_probe=was_probe)
        pauses.append(circuit.left_s(now))
        now += circuit.left_s(now) or 0.0
    circuit.tried()
    circuit.succeeded()

    assert pauses == [20.0, 25.0, 25.0]
    assert (circuit.is_open, circuit.left_s(now), circuit.may_try(now)) == (False, None, True)


def test_what_was_under_way_when_it_opened_does_not_lengthen_the_pause() -> None:
    """Eight attempts that fail together are one failure of the endpoint."""
    circuit = Circuit(SPARING)
    under_way = [circuit.tried() for _ in range(8)]

    opened = [circuit.failed(0.0, was_probe=was_probe) for was_probe in under_way]

    assert opened == [False, False, True, False, False, False, False, False]
    assert circuit.left_s(0.0) == 10.0


def test_an_attempt_without_a_result_gives_its_turn_back() -> None:
    """A probe that was cancelled does not hold the circuit for ever."""
    circuit = Circuit(SPARING)
    for _ in range(3):
        fail(circuit, 0.0)
    circuit.abandoned(was_probe=circuit.tried())

    assert circuit.may_try(10.0)


def test_the_cursor_waits_for_the_oldest() -> None:
    """Events settled behind it count once it is settled."""
    window = Window(10, cursor=5)
    first, second, third = delivery(7, "a"), delivery(9, "b"), delivery(12, "a")
    for each in (first, second, third):
        window.add(each)
    assert window.cursor(read_to=15) == 6
    window.settle(second)
    assert window.cursor(read_to=15) == 6
    window.settle(first)
    assert window.cursor(read_to=15) == 11
    window.settle(third)
    assert window.cursor(read_to=15) == 15


def test_replays_have_a_lane_of_their_own_and_hold_no_cursor() -> None:
    """Whatever company they are of."""
    window = Window(10, cursor=5)
    window.add(delivery(6, "a"))
    window.add(delivery(2, "a", is_replay=True))
    window.add(delivery(3, "b", is_replay=True))

    assert [head.seq for head in window.heads()] == [6, 2]
    assert window.replays() == {2, 3}
    assert window.cursor(read_to=6) == 5


@given(st.lists(st.integers(0, 3), max_size=40), st.randoms(use_true_random=False))
def test_any_order_of_settling_keeps_companies_in_order(companies: list[int], random: Random) -> None:
    """Only heads can be settled; each company's come in their order, the cursor never passes one that is not settled."""
    window = Window(100, cursor=0)
    for seq, company in enumerate(companies, start=1):
        window.add(delivery(seq, str(company)))
    settled: list[Delivery] = []
    while not window.is_empty:
        head = random.choice(list(window.heads()))
        window.settle(head)
        settled.append(head)
        open_seqs = set(range(1, len(companies) + 1)) - {each.seq for each in settled}
        assert window.cursor(len(companies)) == min(open_seqs, default=len(companies) + 1) - 1

    for company in set(companies):
        mine = [each.seq for each in settled if each.company_id == str(company)]
        assert mine == sorted(mine)
    assert len(settled) == len(companies)
