"""Slots and turns: what one holder can take, and what is left for others."""

from __future__ import annotations

from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.sharing import NoSlot, SharedSlots, Turns
from tests.support.bars import patience


def take_all(slots: SharedSlots, holder: str, *, is_admin: bool = False) -> int:
    """How many places this holder gets."""
    taken = 0
    while True:
        try:
            slots.take(holder, is_admin=is_admin)
        except NoSlot:
            return taken
        taken += 1


@pytest.mark.parametrize(
    ("limit", "alone", "of_the_next", "of_an_admin"),
    [(1, 1, 0, 0), (2, 1, 0, 1), (8, 3, 2, 3), (20, 6, 4, 10), (200, 60, 40, 100), (1000, 300, 200, 500)],
)
def test_one_holder_gets_a_third_and_the_rest_is_for_others(
    limit: int, alone: int, of_the_next: int, of_an_admin: int
) -> None:
    """The next gets a third of what is left, and so on; administrators all that is left."""
    slots = SharedSlots(limit)

    assert take_all(slots, "a") == alone
    assert take_all(slots, "b") == of_the_next
    assert take_all(slots, "admin", is_admin=True) == of_an_admin
    assert slots.taken == limit


@pytest.mark.parametrize("greedy", range(1, 6))
def test_one_who_has_none_gets_a_place_beside_greedy_ones(greedy: int) -> None:
    """Of 20 places, with up to five who take what they can get."""
    slots = SharedSlots(20)
    for number in range(greedy):
        take_all(slots, f"greedy {number}")

    with slots.hold("modest"):
        pass


def test_the_reserve_is_for_administrators_alone() -> None:
    """However many holders have taken everything there is for them."""
    slots = SharedSlots(20)
    assert sum(take_all(slots, f"key {number}") for number in range(100)) == 18

    assert take_all(slots, "admin", is_admin=True) == 2


def test_administrators_may_have_everything() -> None:
    """An installation whose only application has an admin key has the whole limit."""
    slots = SharedSlots(8)

    assert take_all(slots, "admin", is_admin=True) == 8
    assert take_all(slots, "a") == 0


def test_a_limit_of_none_is_none() -> None:
    """No holder gets a place."""
    assert take_all(SharedSlots(0), "a") == take_all(SharedSlots(0), "admin", is_admin=True) == 0


@pytest.mark.parametrize("seed", range(20))
def test_places_that_are_given_back_are_free_again(seed: int) -> None:
    """Any order of taking and giving back: never more than the limit, never more for one than its third, and in the end all are free."""
    print(f"seed {seed}")
    random = Random(seed)
    slots, held = SharedSlots(30), list[str]()
    for _ in range(1000):
        holder = random.choice("abcdef")
        if random.random() < 0.6:
            try:
                slots.take(holder)
            except NoSlot:
                assert slots.free <= 0 or held.count(holder) * 2 >= slots.free
            else:
                held.append(holder)
        elif held:
            slots.give_back(held.pop(random.randrange(len(held))))
        assert slots.taken == len(held) <= 27
        assert max((held.count(h) for h in held), default=0) <= 9
    for holder in held:
        slots.give_back(holder)

    assert take_all(slots, "a") == 9


async def test_turns_go_from_holder_to_holder(autojump_clock: MockClock) -> None:
    """One holder with fifty jobs, one with two: those two are the second and the fourth to begin."""
    turns, began = Turns(1, 1), list[str]()

    async def work(holder: str) -> None:
        async with turns.turn(holder):
            began.append(holder)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(work, "greedy")
        await wait_all_tasks_blocked()
        for _ in range(2):
            nursery.start_soon(work, "modest")

    assert began[:5] == ["greedy", "greedy", "modest", "greedy", "modest"] or began[:4] == [
        "greedy",
        "modest",
        "greedy",
        "modest",
    ]
    assert len(began) == 52


async def test_one_holder_leaves_room_for_another(autojump_clock: MockClock) -> None:
    """With four turns of which one may have two, another begins at once."""
    turns = Turns(4, 2)

    async def hold() -> None:
        async with turns.turn("greedy"):
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(hold)
        await wait_all_tasks_blocked()
        assert turns.waiting == 48
        async with turns.turn("modest"):
            assert trio.current_time() == 0.0
        nursery.cancel_scope.cancel()

    assert turns.waiting == 0


async def test_who_stops_waiting_takes_no_turn(autojump_clock: MockClock) -> None:
    """Neither before its turn, nor at the moment when it gets one."""
    turns = Turns(1, 1)
    await turns.begin("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.begin, "b")
        nursery.start_soon(turns.begin, "c")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        turns.end("a")
    with trio.fail_after(patience(1)):
        async with turns.turn("d"):
            pass
