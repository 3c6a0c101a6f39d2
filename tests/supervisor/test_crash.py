"""Crash reports: their content, and that they keep no frames."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supervisor.introspection.crash import MAX_TEXT, MAX_TRACEBACK, crash_report, render


def fail(text: str) -> None:
    raise ValueError(text)


def fail_twice() -> None:
    try:
        fail("inner")
    except ValueError as inner:
        raise RuntimeError("outer") from inner


def fail_while_failing() -> None:
    try:
        fail("first")
    except ValueError:
        raise RuntimeError("second")  # noqa: B904 - the implicit context is the point


def caught(function: Callable[[], None]) -> Exception:
    """The exception that a function raises."""
    with pytest.raises(RuntimeError) as info:
        function()
    return info.value


def test_a_cause_is_printed_first() -> None:
    """As Python does: cause, the sentence between, then the exception itself."""
    text = render(caught(fail_twice))

    first, second = text.split("\nThe above exception was the direct cause of the following exception:\n\n")
    assert "ValueError: inner" in first
    assert 'raise RuntimeError("outer") from inner' in second
    assert second.endswith("RuntimeError: outer\n")


def test_a_context_is_printed_unless_suppressed() -> None:
    """An exception during the handling of another shows both; `from None` shows one."""
    error = caught(fail_while_failing)
    text = render(error)
    error.__suppress_context__ = True
    alone = render(error)

    assert "During handling of the above exception" in text
    assert "first" not in alone


def test_groups_are_printed_with_what_is_in_them() -> None:
    """Each exception of a group is shown, up to a number."""
    group = ExceptionGroup("many", [ValueError(str(number)) for number in range(10)])

    text = render(group)
    assert "-- 1 of 10 --" in text
    assert "ValueError: 4" in text
    assert "ValueError: 5" not in text


def test_everything_has_a_length() -> None:
    """Text and traceback are cut."""
    report = crash_report(ValueError("x" * 100_000), message_type=None, caller=None, at=0.0)

    assert (len(report.text), report.text[-1]) == (MAX_TEXT, "…")
    assert len(render(ExceptionGroup("g", [ValueError("y" * 10_000)] * 50))) <= MAX_TRACEBACK


def test_an_exception_that_cannot_be_printed_is_reported_all_the_same() -> None:
    """A broken __str__ does not break the report."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise LookupError

    report = crash_report(Unprintable(), message_type="M", caller="/b", at=1.0)

    assert report.text == "<str() raised LookupError>"


def test_a_report_takes_the_exception_apart() -> None:
    """After the report neither the exception nor its cause has a traceback."""
    error = caught(fail_twice)
    crash_report(error, message_type=None, caller=None, at=0.0)

    assert error.__traceback__ is None
    assert error.__cause__ is not None
    assert error.__cause__.__traceback__ is None


def test_a_chain_in_a_circle_comes_to_an_end() -> None:
    """Exceptions that cause each other are printed a few times and taken apart."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one

    report = crash_report(one, message_type=None, caller=None, at=0.0)
    assert report.text == "one"
