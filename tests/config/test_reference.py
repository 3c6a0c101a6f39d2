"""The page about settings."""

from __future__ import annotations

import re
from pathlib import Path

from config.fields import all_fields
from config.load import describe_range
from config.reference import reference

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/settings.md"


def test_the_page_is_made_from_the_settings() -> None:
    """docs/settings.md is what `python -m config.reference` prints."""
    assert reference() == PAGE.read_text()


def test_every_setting_does_something() -> None:
    """Each is read somewhere beside its declaration: a setting that no code reads promises a limit that is not there."""
    code = "".join(
        file.read_text()
        for package in ("actors", "storage", "config")
        for file in (ROOT / package).rglob("*.py")
        if file.name not in {"sections.py", "outward.py", "settings.py"}
    )
    unread = [field.key for field in all_fields() if re.search(rf"\.{field.name}\b", code) is None]

    assert unread == []


def test_every_setting_is_described_and_every_number_has_a_range() -> None:
    """No setting without a description, no number without limits."""
    for field in all_fields():
        assert field.meta.description, field.key
        if field.parse is None and "number" in describe_range(field):
            assert field.meta.le is not None, field.key
            assert field.meta.ge is not None or field.meta.gt is not None, field.key
