"""The window of restarts, against the plainest possible model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor import Intensity
from supervisor.tree.intensity import Window

GAPS = st.lists(st.floats(0.0, 3.0, allow_nan=False), max_size=40)


@given(GAPS, st.integers(0, 5), st.floats(0.1, 5.0))
def test_a_restart_is_refused_when_more_than_max_lie_within_the_window(
    gaps: list[float], most: int, within: float
) -> None:
    """`record` says False exactly when, with this one, more than max_restarts times lie in the last ``within`` seconds."""
    window = Window(Intensity(most, within))
    times: list[float] = []
    now = 100.0
    for gap in gaps:
        now += gap
        times.append(now)

        in_window = sum(1 for time in times if time >= now - within)
        assert window.record(now) is (in_window <= most)


@given(GAPS, st.integers(0, 5))
def test_a_window_never_holds_more_than_it_needs(gaps: list[float], most: int) -> None:
    """However many restarts are recorded, at most max_restarts + 1 times are kept."""
    window = Window(Intensity(most, 2.0))
    now = 0.0
    for gap in gaps:
        now += gap
        window.record(now)

        assert window.count(now) <= most + 1


def test_a_restart_exactly_as_old_as_the_window_still_counts() -> None:
    """The window includes its edge, as OTP's does."""
    window = Window(Intensity(1, 5.0))
    window.record(0.0)

    assert window.record(5.0) is False


def test_a_changed_intensity_keeps_what_was_counted() -> None:
    """`change` counts the restarts so far against the new limit."""
    window = Window(Intensity(5, 5.0))
    window.record(0.0)
    window.record(0.0)
    window.change(Intensity(2, 5.0))

    assert window.record(0.0) is False
