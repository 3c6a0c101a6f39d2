"""The grammar of `wasup import KIND` and `wasup export KIND`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config.company_id import is_company_id


def add_import(parser: argparse.ArgumentParser, *parents: argparse.ArgumentParser) -> None:
    """Add `import` and the kinds of source that it takes."""
    kind = _kinds(parser, *parents)
    add_import_baileys(kind("baileys", "import-baileys", "from a Baileys directory"))
    _add_import_database(
        kind("database", "import-database", "from another program's tables whatsapp_auth and whatsapp_keys")
    )


def add_export(parser: argparse.ArgumentParser, *parents: argparse.ArgumentParser) -> None:
    """Add `export` and the kinds of destination that it takes."""
    kind = _kinds(parser, *parents)
    add_export_baileys(kind("baileys", "export-baileys", "into a Baileys directory"))


def _kinds(
    parser: argparse.ArgumentParser, *parents: argparse.ArgumentParser
) -> Callable[[str, str, str], argparse.ArgumentParser]:
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)

    def add(name: str, command: str, help_: str) -> argparse.ArgumentParser:
        options: dict[str, Any] = {"parents": parents, "allow_abbrev": False}
        made = kinds.add_parser(name, help=help_, description=f"Moves {help_}, without a QR code.", **options)
        made.set_defaults(command=command)
        return made

    return add


def add_import_baileys(parser: argparse.ArgumentParser) -> None:
    """Add the arguments DIR COMPANY."""
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="of Baileys' useMultiFileAuthState; nobody uses it any more"
    )
    parser.add_argument("company", type=company_id, metavar="COMPANY")
    parser.add_argument("--dry-run", action="store_true", help="only read the directory and report; change nothing")


def add_export_baileys(parser: argparse.ArgumentParser) -> None:
    """Add the arguments COMPANY DIR."""
    parser.add_argument("company", type=company_id, metavar="COMPANY", help="stopped")
    parser.add_argument("directory", type=Path, metavar="DIR", help="to be made")


def _add_import_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="URL", help="of that database; - reads it from standard input")
    parser.add_argument("companies", nargs="*", type=company_id, metavar="COMPANY", default=[])
    parser.add_argument("--all", action="store_true", help="every company of those tables")
    parser.add_argument(
        "--source-schema", default="public", metavar="NAME", help="the schema that has the tables (public)"
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="only read and report; change nothing")
    way.add_argument(
        "--rehearse", action="store_true", help="store and read back everything too, and take it back; change nothing"
    )


def company_id(text: str) -> str:
    """Return a company's id. argparse reports why another text is wrong."""
    if not is_company_id(text):
        raise argparse.ArgumentTypeError("a company id is 1 to 64 of A-Z a-z 0-9 _ and -")
    return text
