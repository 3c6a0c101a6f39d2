"""The shares benchmark's requests and its verdict."""

from __future__ import annotations

import pytest

from benchmarks.api.requests import Run
from benchmarks.shares.asking import Wish
from benchmarks.shares.command import Figures, judge


def test_a_request_that_holds_its_place_announces_more_than_it_sends() -> None:
    """So the daemon waits for the rest, in the place that the request has taken."""
    head, _, body = Wish("/x", "POST", body=b"{", length=100).encoded("key").partition(b"\r\n\r\n")

    assert head.splitlines()[0] == b"POST /x HTTP/1.1"
    assert b"Content-Length: 100" in head
    assert b"X-Api-Key: key" in head
    assert body == b"{"


@pytest.mark.parametrize(("beside_s", "held", "status"), [(0.019, [3, 2], 0), (0.020, [3, 2], 1), (0.010, [0, 0], 1)])
def test_twice_the_time_alone_is_too_much(beside_s: float, held: list[int], status: int) -> None:
    """And a turn beside a company that held nothing proves nothing."""
    figures = Figures(alone=Run(took=[0.010]), beside=Run(took=[beside_s]), held=held)

    assert judge({"uploads": figures}) == status
