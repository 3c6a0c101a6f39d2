"""Check that an engine process could start: ``python -m actors.engine.check`` loads what an engine loads, and ends.

Exit status 0, or `CANNOT_START` with a sentence on standard error. It is a process of its own: what it loads takes 70 MB, cannot be
unloaded, and may end the process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from actors.child_process.exits import CANNOT_START, ORDERLY
from actors.child_process.setup import die_with_parent, silence_stdout


def main() -> int:
    """Load the library; return the exit status."""
    die_with_parent(None)
    silence_stdout()
    # Imported here: loading takes a third of a second.
    from actors.engine.errors import EngineError, UnknownSchema
    from actors.engine.running import make_host

    try:
        with tempfile.TemporaryDirectory(prefix="wasup-check-") as directory:
            make_host(argparse.Namespace(devices=Path(directory), max_companies=1, whatsapp_version=""))
    except (EngineError, UnknownSchema, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        return CANNOT_START
    return ORDERLY


if __name__ == "__main__":
    status = main()
    os._exit(status)  # the library's threads never end by themselves
