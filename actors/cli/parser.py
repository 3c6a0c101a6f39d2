"""The grammar of the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from actors.cli.transfer_grammar import add_export, add_export_baileys, add_import, add_import_baileys, company_id

_MAX_NAME: Final = 100
_EPILOG: Final = "Exit codes: docs/cli.md. Settings: docs/settings.md."

Add = Callable[..., argparse.ArgumentParser]


def build_parser() -> argparse.ArgumentParser:
    """The parser of `wasup`. Each command puts its name into ``command``."""
    parser = argparse.ArgumentParser(
        prog="wasup",
        description="Holds WhatsApp sessions of many companies, supervised.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    settings, client, json = _settings(), _client(), _json()

    def add(name: str, help_: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=help_, description=help_, parents=[settings, *parents], allow_abbrev=False, epilog=_EPILOG
        )

    add("run", "run the daemon until SIGTERM")
    add("check-config", "check the settings and print those in effect, secrets hidden", json)
    add("migrate", "bring the database's schema up to date", json)
    _add_rotate_key(add("rotate-key", "wrap the companies' data keys by a new master key", json))
    _add_stats(add("stats", "show what auth state is stored", json))
    add("cleanup", "remove expired keys, old events and old answers now", json)
    _add_audit(add("audit", "show the newest audit records and verify the whole log", json))
    add("verify", "open everything stored of the companies and say what cannot be used", json)
    _add_with_database(add("with-database", "run a program, such as psql or pg_dump, on the database"))
    _add_keys(add("keys", "create, list and revoke API keys"), settings, json)
    _add_link(add("link", "link a company to WhatsApp; waits until it is linked", client, json))
    add("sessions", "list the companies' sessions", client, json)
    _add_tree(add("tree", "show the actor tree", client, json))
    _add_send(add("send", "send a text message", client, json))
    _add_events(add("events", "print events", client, json))
    add_import(add("import", "move companies in from elsewhere, without a QR code"), settings, json)
    add_export(add("export", "move a company out"), settings, json)
    add_import_baileys(add("import-baileys", "the same as `import baileys`", json))
    add_export_baileys(add("export-baileys", "the same as `export baileys`", json))
    return parser


def _settings() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--config", type=Path, metavar="FILE", help="the settings file (default: wasup.toml if it is there)"
    )
    return parent


def _client() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--url", help="where the daemon is (default: $WASUP_URL, else the one of the state directory)")
    parent.add_argument(
        "--key", help="the API key (default: $WASUP_KEY; for the daemon of the state directory its admin.key)"
    )
    return parent


def _json() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="print JSON")
    return parent


def _add_keys(parser: argparse.ArgumentParser, *parents: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    options: dict[str, Any] = {"parents": parents, "allow_abbrev": False}
    create = actions.add_parser("create", help="make a key and print it, once", **options)
    create.add_argument("name", type=_name, help="what it is for")
    scope = create.add_mutually_exclusive_group(required=True)
    scope.add_argument("--admin", action="store_true", help="it may do everything")
    scope.add_argument(
        "--company",
        action="append",
        type=company_id,
        metavar="COMPANY",
        dest="companies",
        help="it may use this company (repeat)",
    )
    actions.add_parser("list", help="list the keys, revoked ones too", **options)
    revoke = actions.add_parser("revoke", help="revoke a key for good", **options)
    revoke.add_argument("key_id", help="its id, from `keys list`")


def _add_rotate_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--new-key-file",
        type=Path,
        metavar="FILE",
        help="its first key is the new master key (default: the first one of WASUP_MASTER_KEY_FILE)",
    )
    parser.add_argument(
        "--old-key-file",
        type=Path,
        action="append",
        default=[],
        dest="old_key_files",
        metavar="FILE",
        help="a file with old master keys, beside those of the other files (repeat)",
    )


def _add_stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--company", action="append", type=company_id, default=[], dest="companies", metavar="COMPANY")


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=_count, default=20, metavar="N", help="show this many (20)")


def _add_with_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", metavar="PROGRAM", help="its environment has DATABASE_URL, PGHOST and the others")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="handed on as they are")


def _add_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("company", type=company_id, metavar="COMPANY")
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--phone", metavar="N", help="link by a code that is typed into the phone of this number (or of this JID)"
    )
    way.add_argument(
        "--qr-file", type=Path, metavar="FILE", help="write the QR code to this new PNG file, while it is on offer"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=300.0, metavar="S", help="give up after this many seconds (300)"
    )


def _add_tree(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="show it again and again until interrupted")
    parser.add_argument("--interval", type=_seconds, default=1.0, metavar="S", help="seconds between two looks (1)")


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("company", type=company_id, metavar="COMPANY")
    parser.add_argument("phone", metavar="PHONE", help="a phone number or a JID")
    parser.add_argument("text", metavar="TEXT", help="the message; - reads it from standard input")
    parser.add_argument("--idempotency-key", metavar="KEY", help="a repeat with this key within 24 h sends nothing")


def _add_events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on with new events until interrupted")
    parser.add_argument(
        "--after",
        type=_count,
        metavar="SEQ",
        help="events with a greater number (default: all; with --follow: new ones)",
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="end after this many")
    parser.add_argument("--company", action="append", type=company_id, default=[], dest="companies", metavar="COMPANY")
    parser.add_argument(
        "--type", action="append", default=[], dest="types", metavar="TYPE", help="only this type (repeat)"
    )


def _name(text: str) -> str:
    if not 1 <= len(text.strip()) <= _MAX_NAME or not text.isprintable():
        raise argparse.ArgumentTypeError(f"a name is 1 to {_MAX_NAME} printable characters")
    return text.strip()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise argparse.ArgumentTypeError("a whole number from 0 was expected")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("a number of seconds from 0.1 to 86400 was expected")
    return seconds
