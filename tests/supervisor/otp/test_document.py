"""docs/otp-conformance.md: complete, and its names exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[2] / "docs" / "otp-conformance.md"
ROW = re.compile(r"\| (\d+) \| (\w+) \| (-|(test_\w+\.py): (.*?)) \| (.+) \|")


def rows() -> list[tuple[int, str, str | None, list[str], str]]:
    """number, case, file, tests, note"""
    found: list[tuple[int, str, str | None, list[str], str]] = []
    for line in DOCUMENT.read_text().splitlines():
        match = ROW.fullmatch(line)
        if match is not None:
            names = re.findall(r"`(test_\w+)`", match[5] or "")
            found.append((int(match[1]), match[2], match[4], names, match[6]))
    return found


def test_s8_every_case_is_listed_once() -> None:
    """All 91 cases of OTP's suite, in order, each with a test or a reason."""
    listed = rows()

    assert [row[0] for row in listed] == list(range(1, 92))
    assert len({row[1] for row in listed}) == 91
    assert all(names or note.startswith("not applicable: ") for _, _, _, names, note in listed)
    tested = [names for _, _, _, names, _ in listed if names]
    print(
        f"S8: {len(tested)} of {len(listed)} cases have tests, {sum(map(len, tested))} of them; the rest have a reason"
    )


def test_s8_every_test_that_is_named_exists_and_bears_the_name_of_its_case() -> None:
    """The named file defines the named tests, whose names begin with the case's."""
    for _, case, file, names, _ in rows():
        source = (HERE / file).read_text() if file is not None else ""
        for name in names:
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), name
            assert name.startswith(f"test_{case}"), (case, name)
