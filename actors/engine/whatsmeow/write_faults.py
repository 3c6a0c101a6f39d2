"""Which errors in the engine process mean that the file system takes no writes. Pure except for the probe.

The library reports such a failure only as text: its log lines and the errors of its calls end with what its copy of SQLite says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from actors.engine.errors import WriteFault
from config.disk import probe, write_fault

# The system's own error may follow. Matched only at the end of the text: its middle may contain text that a peer chose.
_SAID: Final = re.compile(
    r"(?:database or disk is full|disk I/O error|unable to open database file|attempt to write a readonly database)"
    r"(?:: [a-z/ -]+)?$"
)


def failed_write(text: str) -> str | None:
    """Return SQLite's report of a failed write at the end of a text of the library's; None when there is none."""
    found = _SAID.search(text)
    return None if found is None else found.group()


def reason_of(error: BaseException, directory: Path) -> str | None:
    """Return in plain words why the file system of ``directory`` took no write; None when ``error`` means something else. Blocks."""
    return words_for(str(error), directory) if isinstance(error, WriteFault) else write_fault(error, directory)


def words_for(said: str, directory: Path) -> str:
    """Return what the file system of ``directory`` itself reports after a write that failed with the text ``said``. Blocks."""
    try:
        return probe(directory) or f"a write failed ({said})"
    except OSError:
        return f"a write failed ({said})"
