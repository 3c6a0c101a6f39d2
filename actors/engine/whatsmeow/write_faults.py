"""Which errors in the engine process mean that the file system takes no writes. Pure but for the probe.

The library only has words for it: what its copy of SQLite says ends its log lines and the errors of its calls.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from actors.engine.errors import WriteFault
from config.disk import probe, write_fault

# The system's own error may follow. At the end of the text only: in its middle there may be what another person chose.
_SAID: Final = re.compile(
    r"(?:database or disk is full|disk I/O error|unable to open database file|attempt to write a readonly database)"
    r"(?:: [a-z/ -]+)?$"
)


def failed_write(text: str) -> str | None:
    """SQLite's report of a write that the file system did not take, with which a text of the library's ends; None when it does not."""
    found = _SAID.search(text)
    return None if found is None else found.group()


def reason_of(error: BaseException, directory: Path) -> str | None:
    """Why the file system of ``directory`` took no write, in words for people; None when ``error`` means something else. Blocks."""
    return words_for(str(error), directory) if isinstance(error, WriteFault) else write_fault(error, directory)


def words_for(said: str, directory: Path) -> str:
    """What the file system of ``directory`` says itself of a write that failed with the text ``said``. Blocks."""
    try:
        return probe(directory) or f"a write failed ({said})"
    except OSError:
        return f"a write failed ({said})"
