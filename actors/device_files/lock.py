"""A lock that lets one process at a time use a device file.

The lease in Postgres excludes other daemons. This lock excludes what the lease cannot see: an engine process that outlives its daemon for
a moment, or a second daemon on the same state directory. Two libraries on one device would fork its Signal sessions.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import final


@final
class FileLock:
    """Held from `take` to `release`, or until the process ends, when the kernel releases it."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Try once; return False when another process (or another lock in this process) holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # False when the lock file was removed meanwhile, together with the device file.
            is_it = os.path.samestat(os.fstat(descriptor), self._path.stat())
        except OSError:
            is_it = False
        if is_it:
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return is_it

    def remove(self) -> None:
        """Release the lock and delete its file; only while it is held."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
