"""`wasup send`: send one text message."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from actors.cli.client import open_daemon
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line

_MAX_INPUT_CHARS = 64 * 1024


def run(arguments: Namespace) -> int:
    """Return once WhatsApp has acknowledged the message and its state is stored. Raises CommandError."""
    text = _read_text() if arguments.text == "-" else arguments.text
    sent = run_async(_send, arguments, text)
    if arguments.json:
        print_json(sent)
    else:
        print_line(f"sent {sent['messageId']} to {sent['phone']}")
    return Exit.DONE


def _read_text() -> str:
    try:
        text = sys.stdin.read(_MAX_INPUT_CHARS + 1)
    except UnicodeDecodeError:
        raise CommandError(Exit.USAGE, "the message on standard input is not text in UTF-8") from None
    if len(text) > _MAX_INPUT_CHARS:
        raise CommandError(Exit.USAGE, f"the message on standard input is longer than {_MAX_INPUT_CHARS} characters")
    return text.removesuffix("\n")


async def _send(arguments: Namespace, text: str) -> dict[str, Any]:
    headers = {} if arguments.idempotency_key is None else {"Idempotency-Key": arguments.idempotency_key}
    async with open_daemon(arguments) as daemon:
        body = {"phone": arguments.phone, "message": text}
        return await daemon.post(f"/api/whatsapp/sessions/{arguments.company}/send", body, headers)
