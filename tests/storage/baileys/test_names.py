"""File names of Baileys, which cannot be undone by rule: the longest type first, then the form of its ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.baileys.names import file_name, parse_name, sender_key_id

USER = st.integers(10**9, 10**15).map(str)
DOMAIN = st.sampled_from(["", "_1", "_128", "_129"])
DEVICE = st.integers(0, 99).map(str)
ADDRESS = st.builds("{}{}.{}".format, USER, DOMAIN, DEVICE)
GROUPS = st.one_of(
    st.builds("{}@g.us".format, USER), st.builds("{}-{}@g.us".format, USER, USER), st.just("status@broadcast")
)
IDS = {
    "pre-key": st.integers(1, 2**24 - 1).map(str),
    "session": ADDRESS,
    "identity-key": ADDRESS,
    "sender-key": st.builds(sender_key_id, GROUPS, st.builds("{}{}".format, USER, DOMAIN), DEVICE),
    "sender-key-memory": GROUPS,
    "app-state-sync-key": st.text("ABCxyz019+/", min_size=4, max_size=8).filter(lambda text: "//" not in text),
    "app-state-sync-version": st.sampled_from(["regular", "regular_low", "critical_unblock_low"]),
    "lid-mapping": st.builds("{}{}".format, USER, st.sampled_from(["", "_reverse"])),
    "device-list": USER,
    "tctoken": st.builds("{}@lid".format, USER),
}
KEYS = st.one_of(*[st.tuples(st.just(key_type), ids) for key_type, ids in IDS.items()])


@given(KEYS)
def test_names_are_read_as_they_were_written(key: tuple[str, str]) -> None:
    """Type and id come back, for every type and every form of its ids."""
    assert parse_name(file_name(*key)) == key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("sender-key-memory-1@g.us.json", ("sender-key-memory", "1@g.us")),
        ("sender-key-1-2@g.us--3_1--4.json", ("sender-key", "1-2@g.us::3_1::4")),
        ("app-state-sync-version-regular.json", ("app-state-sync-version", "regular")),
        ("app-state-sync-key-AAA__B+==.json", ("app-state-sync-key", "AAA/B+==")),
        ("tctoken-__index.json", ("tctoken", "__index")),
    ],
)
def test_the_longest_type_is_tried_first(name: str, key: tuple[str, str]) -> None:
    """`sender-key-memory-…` is no sender key, and only sync keys get their slashes back."""
    assert parse_name(name) == key


@pytest.mark.parametrize(
    "name",
    [
        "creds.json", "session-.json", "session-1.json", "session-a.0.json", "pre-key-x.json", "pre-key-.json", "sender-key-1@g.us.json",
        "sender-key-1@s.whatsapp.net--2--3.json", "lid-mapping-1_back.json", "session-1.0.txt", "notes.json", "session-1.0.json.bak",
    ],
)  # fmt: skip
def test_other_names_are_no_keys(name: str) -> None:
    """A name that Baileys cannot have written gives no key."""
    assert parse_name(name) is None
