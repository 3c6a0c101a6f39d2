"""Put this directory on the PYTHONPATH of a process that loads neonize's library, or of the linker, and it trusts the loopback WhatsApp.

The Go library pins one root key for WhatsApp's Noise certificates. It lies once in the library's writable data:
right after the library was loaded, by any caller, it is overwritten by the 32 bytes that LOOPBACK_ROOT_KEY holds in
hexadecimal. The linker has that key as a constant. Without that variable nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLE = "LOOPBACK_ROOT_KEY"
LIBRARY = "neonize-linux"
PINNED = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")


def _writable_mappings() -> Iterator[tuple[int, int]]:
    """Start and size of the library's writable memory. Zeroed data is an anonymous mapping and of no interest."""
    with Path("/proc/self/maps").open() as maps:
        for line in maps:
            fields = line.split()
            if fields[1].startswith("rw") and LIBRARY in fields[-1]:
                start, _, end = fields[0].partition("-")
                yield int(start, 16), int(end, 16) - int(start, 16)


def overwrite_root_key(root_key: bytes) -> int:
    """Replace the pinned key wherever it lies; return how many times it was found."""
    found = 0
    for start, size in _writable_mappings():
        at = ctypes.string_at(start, size).find(PINNED)
        if at >= 0:
            ctypes.memmove(start + at, root_key, len(root_key))
            found += 1
    return found


def trust(root_key: bytes) -> None:
    """Have the first ctypes.CDLL that loads the library overwrite its key."""
    load = ctypes.CDLL.__init__

    def load_and_overwrite(self: ctypes.CDLL, name: Any, *args: Any, **options: Any) -> None:
        load(self, name, *args, **options)
        if LIBRARY in str(name):
            ctypes.CDLL.__init__ = load  # type: ignore[method-assign]  # the hook has done its work
            if overwrite_root_key(root_key) != 1:
                raise ImportError(f"{VARIABLE} is set, but {LIBRARY} does not hold the pinned key exactly once")

    ctypes.CDLL.__init__ = load_and_overwrite  # type: ignore[method-assign]  # every load has to be seen


def trust_in_linker(root_key: bytes) -> None:
    """Have the linker believe in that key instead of its constant."""
    from actors.linker.wire import certificate

    if PINNED != certificate.ROOT_KEY:
        raise ImportError(f"{VARIABLE} is set, but the linker does not hold the pinned key")
    certificate.ROOT_KEY = root_key  # type: ignore[misc]  # no code of the product may do this


if os.environ.get(VARIABLE):
    trust(bytes.fromhex(os.environ[VARIABLE]))
    if "actors.linker.process" in sys.orig_argv:
        trust_in_linker(bytes.fromhex(os.environ[VARIABLE]))
