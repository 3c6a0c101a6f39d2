"""Writes docs/settings.md from the settings themselves: ``python -m config.reference > docs/settings.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec

from config.fields import Field, all_fields, section_names
from config.load import describe_range
from config.section import KIB, MIB

_INTRODUCTION = """\
# Settings

wasup reads `wasup.toml` from the working directory when it is there, or the file that `--config` or `WASUP_CONFIG` names. Secrets
are also read from systemd credentials (`$CREDENTIALS_DIRECTORY`, the file named in the table), and environment variables override
both. An empty variable counts as not set. A name that is not in this list is refused, in the file and in the environment.

`wasup check-config` reports every problem at once, with file, line and reason, and prints the settings in effect, secrets hidden.

```toml
bind = "127.0.0.1:3003"
default_region = "RU"

[proxies]                       # of single companies, for WhatsApp traffic
962302 = "socks5://127.0.0.1:1080"

[http]
max_body_bytes = 65536
```

Units are part of the names: `_s` seconds, `_ms` milliseconds, `_bytes`, `_chars`. What counts something has the name of the thing.

This page is made from the code: `python -m config.reference > docs/settings.md`.
"""

_CLIENT = """\
## The command line's own variables

| variable | means |
|---|---|
| `WASUP_CONFIG` | the settings file, as `--config` |
| `WASUP_URL` | where the daemon is, as `--url` |
| `WASUP_KEY` | the API key, as `--key` |
"""


def reference() -> str:
    """Return the page."""
    parts = [_INTRODUCTION, *_table(None, "Main settings")]
    for section in section_names():
        parts += _table(section, f"[{section}]")
    return "\n".join([*parts, _CLIENT])


def _table(section: str | None, title: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| setting | environment | default | what it is |"
    yield "|---|---|---|---|"
    for field in all_fields():
        if field.section == section:
            yield _row(field)
    yield ""


def _row(field: Field) -> str:
    description = (field.meta.description or "").replace("|", "\\|")
    if field.is_secret:
        description += f" Secret; credential `{field.credential}`."
    if field.credential_file is not None:
        description += f" Credential `{field.credential_file}`."
    if field.parse is None:
        description += f" {describe_range(field).capitalize()}."
    return f"| `{field.name}` | `{field.env}` | {_default(field)} | {description} |"


def _default(field: Field) -> str:
    value = field.default
    if value is msgspec.NODEFAULT or value is None or value == () or value == {}:
        return "-"
    if Path in get_args(field.annotation):
        return f"`{value}`"
    if field.name.endswith("_bytes"):
        return _bytes(value)
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _bytes(value: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if value % unit == 0:
            return f"`{value}` ({value // unit} {name})"
    return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
