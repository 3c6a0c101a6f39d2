"""The settings as a list: every field with its names, type, default, description and reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from config.settings import Settings
from config.values import Parse


@final
@dataclass(frozen=True, slots=True)
class Field:
    """One setting."""

    section: str | None
    name: str
    env: str
    annotation: Any
    """Its type with its `Meta`, as msgspec takes them."""
    meta: Meta
    default: Any
    parse: Parse | None
    is_secret: bool
    credential_file: str | None
    """For a path setting: the file in ``$CREDENTIALS_DIRECTORY`` whose path it gets when that file exists."""

    @property
    def key(self) -> str:
        """The name in the settings file: ``bind`` or ``http.max_body_bytes``."""
        return self.name if self.section is None else f"{self.section}.{self.name}"

    @property
    def credential(self) -> str:
        """The file in ``$CREDENTIALS_DIRECTORY`` that a secret is read from."""
        return self.env.lower().removeprefix("wasup_")


@cache
def all_fields() -> tuple[Field, ...]:
    """Return every setting, main knobs first, in the order of their declaration."""
    return tuple(_fields(Settings, None))


@cache
def section_names() -> tuple[str, ...]:
    """Return the sections of the settings file."""
    return tuple(name for name, hint in _hints(Settings).items() if _is_section(hint))


def _fields(struct: type[msgspec.Struct], section: str | None) -> Iterator[Field]:
    hints = _hints(struct)
    sections: list[tuple[str, type[msgspec.Struct]]] = []
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        if _is_section(hint):
            sections.append((info.name, hint))
        else:
            yield _field(info, hint, section)
    for name, hint in sections:
        yield from _fields(hint, name)


def _field(info: msgspec.structs.FieldInfo, hint: object, section: str | None) -> Field:
    meta = _meta(hint)
    extra = meta.extra or {}
    default = info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory()
    prefix = "WASUP_" if section is None else f"WASUP_{section.upper()}_"
    return Field(
        section=section,
        name=info.name,
        env=extra.get("env", prefix + info.name.upper()),
        annotation=hint,
        meta=meta,
        default=default,
        parse=extra.get("parse"),
        is_secret=extra.get("secret", False),
        credential_file=extra.get("credential_file"),
    )


def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


def _is_section(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _meta(hint: object) -> Meta:
    assert get_origin(hint) is Annotated, hint
    return next(part for part in get_args(hint) if isinstance(part, Meta))


_HIDDEN = frozenset({"WASUP_KEY", "WASUP_MASTER_KEY_FILE", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"})


def environment_for_children(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy without the daemon's secrets, its database's address and its service manager's socket. The
    host's proxy and CA settings stay."""
    hidden = _HIDDEN | {field.env for field in all_fields() if field.is_secret}
    return {name: value for name, value in environment.items() if name not in hidden and not name.startswith("PG")}
