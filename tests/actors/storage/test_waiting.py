"""Writes that wait to be committed: order within an ordering key, bounds, keys that wait by themselves."""

from __future__ import annotations

from typing import Any, cast

from actors.storage.requests import CommitDelta, KeepMedia, ReleaseLease, RenewLeases
from actors.storage.write_queue import LEASES, Entry, WriteQueue, by_ordering_key, ordering_key_of, size_of
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.media import NewMedia
from supervisor import ReplyTo


class Reply:
    """Keeps the reply."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def reply(self, value: Any) -> None:
        self.said.append(value)

    def fail(self, error: Exception) -> None:
        self.said.append(error)


def commit(company_id: str, position: int) -> CommitDelta:
    """A delta of ten bytes."""
    return CommitDelta(Delta(company_id, "me", 1, "file", position, b"12345", (KeyChange("t", "ab", b"678"),)))


def entry(request: Any) -> Entry:
    return Entry(request, cast("ReplyTo[Any]", Reply()), size_of(request))


def told(entries: list[Entry]) -> list[tuple[str, int]]:
    return [(one.request.delta.company_id, one.request.delta.position) for one in entries]


def filled(*companies: str) -> WriteQueue:
    """A delta of each, numbered."""
    waiting = WriteQueue()
    for position, company in enumerate(companies, 1):
        waiting.put(entry(commit(company, position)))
    return waiting


def test_what_was_answered_is_gone_and_no_longer_counted() -> None:
    """Also out of turn: the next batch is what follows it."""
    waiting = filled("a", "b", "a")
    first, second, third = waiting.main(10)
    waiting.answer(second, "stored")
    assert told(waiting.main(10)) == [("a", 1), ("a", 3)]
    waiting.answer(first, ValueError("refused"))

    assert waiting.main(10) == [third]
    assert (waiting.count, waiting.bytes) == (1, 10)
    assert [str(one.reply.said[0]) for one in (first, second)] == ["refused", "stored"]  # type: ignore[attr-defined]


def test_a_lane_that_is_set_aside_keeps_its_order() -> None:
    """Both what waited already and what comes later; batches of the others leave it out."""
    waiting = filled("a", "b", "a")
    waiting.set_aside("a")
    waiting.put(entry(commit("a", 4)))
    waiting.put(entry(commit("b", 5)))

    assert told(waiting.aside("a", 10)) == [("a", 1), ("a", 3), ("a", 4)]
    assert told(waiting.main(10)) == [("b", 2), ("b", 5)]
    assert (waiting.count, waiting.lanes_aside) == (5, 1)


def test_a_lane_rejoins_when_it_has_caught_up() -> None:
    """Not before: what comes meanwhile must stay behind what waits."""
    waiting = filled("a")
    waiting.set_aside("a")
    assert not waiting.rejoin("a")
    for one in waiting.aside("a", 10):
        waiting.answer(one, None)
    assert waiting.rejoin("a")
    waiting.put(entry(commit("a", 2)))

    assert told(waiting.main(10)) == [("a", 2)]
    assert not waiting.is_aside("a")


def test_what_was_answered_behind_a_locked_lane_waits_no_more() -> None:
    """Else the writer would wake for ever for a write that it does not find, and the whole daemon would stand still."""
    waiting = filled("a", "b")
    _, second = waiting.main(10)
    waiting.answer(second, None)
    waiting.set_aside("a")

    assert not waiting.has_main


def test_every_request_has_a_lane() -> None:
    """A company's requests share one; a request of no company has one of its own."""
    media = KeepMedia("a", (NewMedia("a", "0a1b", None, b"{}"),), 60.0)
    entries = [entry(commit("a", 1)), entry(RenewLeases(frozenset("a"))), entry(ReleaseLease("a", 1)), entry(media)]

    assert [ordering_key_of(one.request) for one in entries] == ["a", LEASES, "a", "a"]
    assert {ordering_key: len(own) for ordering_key, own in by_ordering_key(entries).items()} == {"a": 3, LEASES: 1}
    assert entries[-1].bytes == 2
