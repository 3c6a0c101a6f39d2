"""Lines of a settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.sources import MAX_FILE_BYTES, read_toml

TEXT = '''\
# comment = 1
a = 1   # b = 2

[one]
"quoted key" = """
c = 3
[not a header]
"""
list = [
    1,  # two = 2
    2,
]
dotted.name = true
inline = { x = 1, y = 2 }

[two.three]
d = \'\'\'e = 5\'\'\'
'''


def test_lines_of_keys(tmp_path: Path) -> None:
    """Every key has the line it starts on; text and comments that look like keys do not count."""
    path = tmp_path / "x.toml"
    path.write_text(TEXT)

    file = read_toml(path)

    expected = {
        "a": 2,
        "one": 4,
        "one.quoted key": 5,
        "one.list": 9,
        "one.dotted": 13,
        "one.dotted.name": 13,
        "one.inline": 14,
        "one.inline.x": 14,
        "one.inline.y": 14,
        "two.three": 16,
        "two.three.d": 17,
    }
    assert expected == file.lines
    assert f"{path}:9" == file.where("one.list")
    assert str(path) == file.where("missing")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a = 1\nb = \xff\n", ":2: (file): it is not UTF-8 text"),
        (b"#" * (MAX_FILE_BYTES + 1), f"it is larger than {MAX_FILE_BYTES} bytes"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_unreadable_files(tmp_path: Path, data: bytes, expected: str) -> None:
    """A file that is not a reasonable text file is refused in one sentence."""
    path = tmp_path / "x.toml"
    path.write_bytes(data)

    with pytest.raises(SettingsError) as caught:
        read_toml(path)

    assert expected in str(caught.value)
