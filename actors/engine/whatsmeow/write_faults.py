"""Which errors in the engine process mean that the file system takes no writes. Pure except for the probe.

The library reports such a failure only as text (`actors.engine.whatsmeow.error_texts.failed_write`).
"""

from __future__ import annotations

from pathlib import Path

from actors.engine.errors import WriteFault
from config.disk import probe, write_fault


def reason_of(error: BaseException, directory: Path) -> str | None:
    """Return in plain words why the file system of ``directory`` took no write; None when ``error`` means something else. Blocks."""
    return words_for(str(error), directory) if isinstance(error, WriteFault) else write_fault(error, directory)


def words_for(said: str, directory: Path) -> str:
    """Return what the file system of ``directory`` itself reports after a write that failed with the text ``said``. Blocks."""
    try:
        return probe(directory) or f"a write failed ({said})"
    except OSError:
        return f"a write failed ({said})"
