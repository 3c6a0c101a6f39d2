"""`wasup keys`: manage the API keys directly in the database, so that a lost admin key can be replaced."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Collection

from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line, print_note, print_table
from config.load import load
from config.settings import Settings
from storage.database.connection import Connection
from storage.database.migrate import migrate
from storage.tables import api_keys, audit
from storage.tables.api_keys import ApiKey, NewKey


def run(arguments: Namespace) -> int:
    """Raises CommandError."""
    settings = load(config_file=arguments.config)
    match arguments.action:
        case "create":
            run_async(_create, settings, arguments)
        case "list":
            run_async(_list, settings, arguments)
        case _:
            run_async(_revoke, settings, arguments)
    return Exit.DONE


async def _create(settings: Settings, arguments: Namespace) -> None:
    async with open_for_command(settings) as database:
        await migrate(database)
        created = await database.write(_create_key, arguments.name, arguments.companies)
    if arguments.json:
        print_json({"keyId": created.key_id, "key": created.secret})
    else:
        print_line(created.secret)
        print_note(f"key {created.key_id}; it is shown only now, only its hash is stored")


async def _list(settings: Settings, arguments: Namespace) -> None:
    async with open_for_command(settings) as database:
        await migrate(database)
        keys = await api_keys.list_all(database)
    if arguments.json:
        print_json({"keys": [_described(key) for key in keys]})
    else:
        print_table(("ID", "NAME", "SCOPE", "CREATED", "REVOKED"), [_row(key) for key in keys])


async def _revoke(settings: Settings, arguments: Namespace) -> None:
    async with open_for_command(settings) as database:
        await migrate(database)
        if not await database.write(_revoke_key, arguments.key_id):
            raise CommandError(
                Exit.REFUSED, f"there is no key {arguments.key_id} that could be revoked; `wasup keys list` shows them"
            )
    if arguments.json:
        print_json({"keyId": arguments.key_id, "revoked": True})
    else:
        print_line(f"revoked {arguments.key_id}")


async def _create_key(connection: Connection, name: str, companies: Collection[str] | None) -> NewKey:
    created = await api_keys.create(connection, name, companies)
    await _audit(connection, "key_created", created.key_id)
    return created


async def _revoke_key(connection: Connection, key_id: str) -> bool:
    is_revoked = await api_keys.revoke(connection, key_id)
    if is_revoked:
        await _audit(connection, "key_revoked", key_id)
    return is_revoked


async def _audit(connection: Connection, action: str, key_id: str) -> None:
    await audit.append(connection, time.time(), "command line", action, key_id, "local")


def _described(key: ApiKey) -> dict[str, object]:
    return {
        "keyId": key.key_id,
        "name": key.name,
        "admin": key.is_admin,
        "companies": None if key.companies is None else sorted(key.companies),
        "createdAt": key.created_at,
        "revokedAt": key.revoked_at,
    }


def _row(key: ApiKey) -> tuple[str, ...]:
    scope = "admin" if key.companies is None else ",".join(sorted(key.companies))
    revoked = "-" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
    return (key.key_id, key.name, scope, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
