"""The rows that a page follows: whenever it fetches a difference, it ends with the present rows."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.http.dashboard.table import Table, View, of_companies

LIMIT = 6


class Row(msgspec.Struct, frozen=True):
    """A row with only its value."""

    name: str
    value: int


def rows(values: dict[str, int]) -> list[tuple[str, Row]]:
    """As a look finds them."""
    return [(name, Row(name, value)) for name, value in values.items()]


def apply(page: dict[str, Any], table: Table[Row], view: View) -> None:
    """Apply a difference as a page does."""
    difference = table.difference(view)
    if difference.is_whole:
        page.clear()
    for name in difference.gone:
        del page[name]
    for encoded in difference.rows:
        row = msgspec.json.decode(encoded)
        page[row["name"]] = row["value"]


LOOKS = st.lists(st.tuples(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3)), st.booleans()), max_size=30)


@given(LOOKS)
def test_a_page_that_comes_now_and_then_has_what_is_there(looks: list[tuple[dict[str, int], bool]]) -> None:
    """Rows appear, change, disappear and come back; whatever it missed, one difference makes up for it."""
    table, view = Table[Row](LIMIT), View()
    page: dict[str, Any] = {}
    for values, comes in looks:
        table.replace(rows(values), len(values))
        if comes:
            apply(page, table, view)
            assert page == dict(list(values.items())[:LIMIT])
            assert table.total == len(values)


def test_only_what_changed_is_sent_again() -> None:
    """One of a thousand: one row."""
    table, view = Table[Row](5000), View()
    values = {str(number): 0 for number in range(1000)}
    table.replace(rows(values), 1000)
    first = table.difference(view)
    table.replace(rows({**values, "500": 1}), 1000)
    second = table.difference(view)

    assert (first.is_whole, len(first.rows)) == (True, 1000)
    assert (second.is_whole, [msgspec.json.decode(row) for row in second.rows], second.gone) == (
        False, [{"name": "500", "value": 1}], (),
    )  # fmt: skip
    assert not table.difference(view)


def test_a_row_that_is_gone_cannot_be_put_back() -> None:
    """A late reply changes nothing."""
    table = Table[Row](5)
    table.replace(rows({"a": 1}), 1)
    table.replace(rows({}), 0)

    assert not table.put("a", Row("a", 2))
    assert table.get("a") is None


def test_a_key_of_some_companies_is_sent_those() -> None:
    """Now and with later changes; it does not even hear of the removal of others."""
    table, view = Table[Row](5), View()
    mine = of_companies(frozenset({"a"}))
    table.replace(rows({"a": 1, "b": 1}), 2)
    first = table.difference(view, mine)
    table.replace(rows({"a": 1}), 1)
    second = table.difference(view, mine)

    assert [msgspec.json.decode(row)["name"] for row in first.rows] == ["a"]
    assert not second
