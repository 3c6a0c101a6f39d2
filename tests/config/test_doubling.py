"""Pauses that double."""

from __future__ import annotations

from config.doubling import Doubling


def test_pauses_double_up_to_their_limit_and_begin_again() -> None:
    """1, 2, 4 and then the limit; after a success 1 again."""
    pauses = Doubling(1.0, 5.0)
    taken = [pauses.next_s() for _ in range(4)]
    pauses.reset()

    assert (taken, pauses.next_s()) == ([1.0, 2.0, 4.0, 5.0], 1.0)


def test_no_number_of_failures_is_too_large() -> None:
    """The limit holds after any number of attempts."""
    pauses = Doubling(1.0, 5.0)

    assert max(pauses.next_s() for _ in range(2000)) == 5.0
