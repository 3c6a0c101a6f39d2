"""The real library and its SQLite, loaded once; device files in the test's directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from actors.engine.device.event_spool import Item
from actors.engine.device.file import DeviceFile, build
from actors.engine.device.schema import Template, read_template
from actors.engine.device.sqlite import Connection, Sqlite
from actors.engine.whatsmeow.library import Library
from tests.engine.rows import creds

BuildFile = Callable[..., DeviceFile]


@pytest.fixture(scope="session")
def library() -> Library:
    """The Go library; these tests never have it connect."""
    return Library()


@pytest.fixture(scope="session")
def sqlite(library: Library) -> Sqlite:
    """The library's copy of SQLite."""
    return Sqlite(library.path)


@pytest.fixture(scope="session")
def template(library: Library, sqlite: Sqlite) -> Template:
    """The library's schema."""
    return read_template(library, sqlite)


@pytest.fixture
def connection(sqlite: Sqlite, tmp_path: Path) -> Iterator[Connection]:
    """A connection to an empty database."""
    opened = sqlite.connect(tmp_path / "plain.db", create=True)
    yield opened
    opened.close()


@pytest.fixture
def build_file(sqlite: Sqlite, template: Template, tmp_path: Path) -> Iterator[BuildFile]:
    """Builds device files at one path; they are closed at the end."""
    made: list[DeviceFile] = []

    def make(
        keys: Sequence[tuple[str, str, bytes]] = (), *, linked: bool = True, event_spool: Sequence[Item] = ()
    ) -> DeviceFile:
        file, left_out = build(sqlite, template, tmp_path / "962302.db", creds() if linked else None, keys, event_spool)
        made.append(file)
        assert left_out == []
        return file

    yield make
    for file in made:
        file.close()
