"""LID mappings of a Baileys directory: two files each, one for either direction, which may disagree."""

from __future__ import annotations

from typing import final

import msgspec

from config.json_text import read_json
from storage.baileys.directory import SourceFile
from storage.baileys.report import Report
from storage.whatsmeow.rows import LID_MAPPING, REVERSE, encode_lid


@final
class LidMappings:
    """Collects the files; where two contradict each other, the one written last wins."""

    def __init__(self, report: Report, *, oldest_s: float) -> None:
        self._report = report
        self._oldest_s = oldest_s
        self._pairs: list[tuple[float, str, str, str]] = []
        self._lids: set[str] = set()
        self._numbers: set[str] = set()

    def add(self, file: SourceFile, key: str) -> None:
        """Take one file. One that is too old still identifies its users but is left behind."""
        other = _digits(file.data)
        if other is None:
            self._report.leave(file.name, "broken", "the digits of an address were expected")
            return
        user = key.removesuffix(REVERSE)
        pn, lid = (other, user) if key.endswith(REVERSE) else (user, other)
        self._lids.add(lid)
        self._numbers.add(pn)
        if file.written_at < self._oldest_s:
            self._report.leave(file.name, "expired", "written more than 7 days ago")
        else:
            self._pairs.append((file.written_at, file.name, pn, lid))

    def lid_users(self) -> set[str]:
        """Return every user known to be a LID."""
        return self._lids - self._numbers

    def pn_users(self) -> set[str]:
        """Return every user known to be a phone number."""
        return set(self._numbers)

    def values(self) -> dict[tuple[str, str], bytes]:
        """Return both directions of every mapping; no phone number and no LID occurs twice."""
        lid_of: dict[str, str] = {}
        pn_of: dict[str, str] = {}
        for _, name, pn, lid in sorted(self._pairs, reverse=True):
            if lid_of.get(pn) != lid and (pn in lid_of or lid in pn_of):
                self._report.leave(name, "contradicted", "a file written later maps this number or LID elsewhere")
                continue
            lid_of[pn], pn_of[lid] = lid, pn
            self._report.moved[LID_MAPPING] += 1
        values: dict[tuple[str, str], bytes] = {}
        for pn, lid in lid_of.items():
            values[LID_MAPPING, pn] = encode_lid(lid)
            values[LID_MAPPING, lid + REVERSE] = encode_lid(pn)
        return values


def _digits(data: bytes) -> str | None:
    try:
        value = read_json(data, str)
    except msgspec.DecodeError:
        return None
    return value if value.isascii() and value.isdecimal() else None
