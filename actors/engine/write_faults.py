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


def says_no_write(text: str) -> bool:
    """Whether a text of the library's ends with SQLite's report of a write that the file system did not take."""
    return _SAID.search(text) is not None


def reason_of(error: BaseException, directory: Path) -> str | None:
    """Why the file system of ``directory`` took no write, in words for people; None when ``error`` means something else. Blocks."""
    if not isinstance(error, WriteFault):
        return write_fault(error, directory)
    try:
        return probe(directory) or f"a write failed ({error})"
    except OSError:
        return f"a write failed ({error})"
