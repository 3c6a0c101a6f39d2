"""The daemon's own count of its leases."""

from __future__ import annotations

from actors.directory.leases import LeaseBook

A = frozenset({"a"})


def test_a_lease_ends_here_before_it_ends_in_postgres() -> None:
    """50 s of a TTL of 60 s may be used, from the moment of the request."""
    book = LeaseBook(50.0)
    book.taken("a", 0.0)

    assert (book.expired(49.9), book.expired(50.0), book.companies) == (frozenset(), A, frozenset())


def test_a_renewal_counts_from_when_it_was_asked_for() -> None:
    """The reply may be late; the clock started when the request was sent."""
    book = LeaseBook(50.0)
    book.taken("a", 0.0)

    assert book.renewed(A, asked_at=30.0) == {"a": 80.0}
    assert (book.expired(79.9), book.expired(80.0)) == (frozenset(), A)


def test_a_lease_that_was_not_confirmed_is_lost() -> None:
    """Postgres says another owns it: it is reported once and forgotten."""
    book = LeaseBook(50.0)
    book.taken("a", 0.0)

    assert book.lost(A) == A
    assert book.companies == frozenset()


def test_a_company_dropped_meanwhile_is_not_lost() -> None:
    """It released its lease while the renewal was under way."""
    book = LeaseBook(50.0)
    book.taken("a", 0.0)
    book.dropped("a")

    assert book.lost(A) == frozenset()


def test_a_lease_that_was_granted_long_ago_is_over_at_once() -> None:
    """The daemon was stopped between the request and the reply: another one may own the company by now."""
    book = LeaseBook(50.0)
    book.taken("a", asked_at=0.0)

    assert book.expired(70.0) == A


def test_a_late_notice_shortens_nothing() -> None:
    """The company's own notice may come after the first renewal."""
    book = LeaseBook(50.0)
    book.taken("a", asked_at=0.0)
    book.renewed(A, asked_at=10.0)
    book.taken("a", asked_at=0.0)

    assert book.expired(55.0) == frozenset()
