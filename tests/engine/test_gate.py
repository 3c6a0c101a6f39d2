"""Making and stopping clients takes turns; calls never begin meanwhile."""

from __future__ import annotations

import threading

from actors.engine.gate import SETTLE_S, Gate


def test_a_maker_waits_until_the_last_call_has_passed_the_map() -> None:
    """The look-up is a call's first instruction, but it must have happened."""
    now = [100.0]
    slept: list[float] = []
    gate = Gate(clock=lambda: now[0], sleep=slept.append)
    gate.begin_call()
    now[0] += SETTLE_S / 4

    with gate.making():
        pass

    assert [round(seconds, 6) for seconds in slept] == [round(SETTLE_S * 3 / 4, 6)]


def test_a_maker_does_not_wait_for_calls_long_under_way() -> None:
    """A call that hangs for a minute holds nobody up."""
    now = [100.0]
    slept: list[float] = []
    gate = Gate(clock=lambda: now[0], sleep=slept.append)
    gate.begin_call()
    now[0] += 60

    with gate.making():
        pass

    assert slept == []


def test_no_call_begins_while_a_maker_works() -> None:
    """It waits for the maker, then goes."""
    gate = Gate()
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def make() -> None:
        with gate.making():
            inside.set()
            go_on.wait(5)
            order.append("made")

    def call() -> None:
        gate.begin_call()
        order.append("called")

    maker = threading.Thread(target=make)
    maker.start()
    inside.wait(5)
    caller = threading.Thread(target=call)
    caller.start()
    go_on.set()
    maker.join()
    caller.join()

    assert order == ["made", "called"]
