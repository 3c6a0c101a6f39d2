"""The child process that builds a company's device file: the WhatsApp library can be loaded once in a process, and stays in it.

Run as ``python -m benchmarks.storage.device_file DIRECTORY``: reads ``[credentials, [[type, id, value], …]]`` from standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from actors.engine.device.file import build
from actors.engine.device.schema import read_template
from actors.engine.device.sqlite import Sqlite
from actors.engine.whatsmeow.library import Library


def main() -> None:
    """Build the file as an engine process does when it takes up a company, and close it."""
    creds, keys = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[bytes, list[tuple[str, str, bytes]]])
    path, library = Path(sys.argv[1]) / "962302.db", Library()
    sqlite = Sqlite(library.path)
    file, left_out = build(sqlite, read_template(library, sqlite), path, creds, keys, [])
    file.close()
    assert not left_out, left_out


if __name__ == "__main__":
    main()
