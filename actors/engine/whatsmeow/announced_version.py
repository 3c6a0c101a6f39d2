"""Reads the version of WhatsApp Web that this process announces from the loaded library's memory, and writes another one there.

whatsmeow keeps three 32-bit numbers (2, 3000, N; `store.waVersion`). When it is loaded it derives two things from them: the digest that a
registration carries (`waVersionHash`, the MD5 of "2.3000.N") and a copy of the numbers in every log-in (`BaseClientPayload`). Its
`SetWAVersion` changes all three and is not exported by the bridge. Each is found by its content, in the library's writable data, in its
zeroed data right behind it, and in other memory; each must be there exactly once, else nothing is written.

No other memory of the library is ever written. Call before the process's first client.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from actors.engine.errors import EngineError

FAMILY: Final = (2, 3000)
_VERSION: Final = re.compile(r"2\.3000\.(\d{9,10})")
# Not the bytes themselves: a copy of them in this program's memory would be found as well.
_NUMBERS: Final = re.compile(rb"\x02\x00\x00\x00[\xb8]\x0b\x00\x00")
_LEAST: Final = 1_000_000_000
_MOST: Final = 2**32 - 1
_MAPS: Final = Path("/proc/self/maps")


class VersionNotFound(EngineError):
    """The library does not hold its version where this module looks for it."""


@dataclass(frozen=True, slots=True)
class _Mapping:
    start: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class Announced:
    """Where the loaded library holds its version."""

    version: str
    _numbers: tuple[int, int]
    """Addresses of the three numbers, and of their copy for log-ins."""
    _digest: int

    def change(self, version: str) -> Announced:
        """Announce ``version`` (``2.3000.N``) from now on. Raise EngineError when it is not a version."""
        packed = struct.pack("<III", *FAMILY, _number(version))
        digest = hashlib.md5(version.encode(), usedforsecurity=False).digest()
        for address in self._numbers:
            ctypes.memmove(address, packed, len(packed))
        ctypes.memmove(self._digest, digest, len(digest))
        return Announced(version, self._numbers, self._digest)


def announce(library: str, version: str) -> str:
    """Have the library loaded from the file ``library`` announce ``version``, or its own version where that is empty; return what it
    announces now. Raise EngineError, with nothing written, when ``version`` is not one or the library's own is not found.
    """
    own = own_version(library)
    if version in ("", own):
        return own
    return find_announced(library).change(version).version


def own_version(library: str) -> str:
    """Return the version that the loaded library announces. Raise `VersionNotFound`."""
    return f"2.3000.{_original(_mapped(library), _writable())[1]}"


def find_announced(library: str) -> Announced:
    """Return every place where the loaded library holds its version. Raise `VersionNotFound`, which says what is not as expected."""
    maps, library = _writable(), _mapped(library)
    original, number = _original(library, maps)
    rest = _behind([mapping for mapping in maps if mapping.name == library], maps)
    version = f"2.3000.{number}"
    digest = hashlib.md5(version.encode(), usedforsecurity=False).digest()
    digests = _occurrences(rest, (ctypes.c_char * len(digest)).from_buffer_copy(digest))
    copies = _occurrences([mapping for mapping in maps if not mapping.name], (ctypes.c_uint32 * 3)(*FAMILY, number))
    if len(digests) != 1 or len(copies) != 1:
        raise VersionNotFound(
            f"{version} has {len(digests)} digests and {len(copies)} copies in the library's memory where one each was expected"
        )
    return Announced(version, (original, copies[0]), digests[0])


def _mapped(library: str) -> str:
    """Return the path under which the kernel lists the library: with no symbolic link in it, as in an environment that is one."""
    return str(Path(library).resolve())


def _original(library: str, maps: Sequence[_Mapping]) -> tuple[int, int]:
    """Return the address of the version in the library's data, and its N."""
    found = [found for mapping in maps if mapping.name == library for found in _numbers_in(mapping)]
    if len(found) != 1:
        raise VersionNotFound(f"the library's data holds {len(found)} versions where one was expected")
    return found[0]


def _number(version: str) -> int:
    match = _VERSION.fullmatch(version)
    if match is None or not _LEAST <= int(match.group(1)) <= _MOST:
        raise EngineError(f"{version!r} is no version of WhatsApp Web; one is like 2.3000.{_LEAST}")
    return int(match.group(1))


def _writable() -> list[_Mapping]:
    """Return this process's private writable memory, without the C heap and the stack of its first thread."""
    found: list[_Mapping] = []
    for line in _MAPS.read_text().splitlines():
        span, mode, _, _, _, *name = line.split(None, 5)
        start, _, end = span.partition("-")
        if mode == "rw-p" and not (name and name[0].startswith("[")):
            found.append(_Mapping(int(start, 16), int(end, 16) - int(start, 16), name[0] if name else ""))
    return found


def _numbers_in(mapping: _Mapping) -> list[tuple[int, int]]:
    """Return the address and N of every version in the mapping."""
    memory = (ctypes.c_char * mapping.size).from_address(mapping.start)
    found: list[tuple[int, int]] = []
    for match in _NUMBERS.finditer(memory):
        if match.end() + 4 <= mapping.size:
            (number,) = struct.unpack_from("<I", memory, match.end())
            if number >= _LEAST:
                found.append((mapping.start + match.start(), number))
    return found


def _behind(data: Sequence[_Mapping], maps: Sequence[_Mapping]) -> list[_Mapping]:
    """Return the zeroed data: mapped from no file, beginning where the data ends."""
    end = data[-1].start + data[-1].size
    return [mapping for mapping in maps if mapping.start == end and not mapping.name]


def _occurrences(maps: Sequence[_Mapping], wanted: ctypes.Array[Any]) -> list[int]:
    """Return the addresses of ``wanted``, except its own."""
    search = ctypes.CDLL(None).memmem
    search.restype, search.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t],
    )
    size, own, found = ctypes.sizeof(wanted), ctypes.addressof(wanted), list[int]()
    for mapping in maps:
        at, end = mapping.start, mapping.start + mapping.size
        while (address := search(at, end - at, own, size)) is not None:
            if address != own:
                found.append(address)
            at = address + 1
    return found
