"""Guides the owner of an account with a passkey through linking, in the terminal."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec
import trio

from actors.cli.client import Daemon
from actors.cli.outcome import CommandError
from actors.cli.output import print_json, print_line, print_note
from config.json_text import read_json

LOOK_S: Final = 2.0
MAX_LINE: Final = 64 * 1024
_REFUSALS: Final = frozenset({"invalid_passkey_response", "passkey_rejected", "invalid_request"})


def snippet(options: object) -> str:
    """Return the code to paste into the console of WhatsApp's page: a single line, so that no terminal breaks it."""
    text = msgspec.json.encode(options).decode()
    return (
        "navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON("
        + text
        + ")}).then(c => prompt('Copy this into the terminal', JSON.stringify(c.toJSON())))"
    )


class PasskeyWalk:
    """The steps for one company. They begin again whenever WhatsApp asks for a passkey again."""

    def __init__(self, daemon: Daemon, company_id: str, *, is_json: bool) -> None:
        self._daemon = daemon
        self._path = f"/api/whatsapp/sessions/{company_id}/passkey"
        self._is_json = is_json
        self._lines: trio.Lock = trio.Lock()

    async def run(self) -> None:
        """Run until WhatsApp no longer wants a passkey."""
        async with self._lines:
            while (passkey := await self._get()) is not None:
                match passkey["step"]:
                    case "response":
                        await self._respond(passkey)
                    case "confirm":
                        await self._confirm(passkey["code"])
                    case _:
                        await trio.sleep(LOOK_S)

    async def _get(self) -> dict[str, Any] | None:
        try:
            return await self._daemon.get(self._path)
        except CommandError as error:
            if error.problem == "no_passkey_wanted":
                return None
            raise

    async def _respond(self, passkey: dict[str, Any]) -> None:
        self._show(passkey)
        line = await _line()
        try:
            response = read_json(line)
        except msgspec.DecodeError:
            print_note("that is not the response: it begins with { and ends with }; copy all of it")
            return
        try:
            await self._daemon.post(f"{self._path}/response", response)
        except CommandError as error:
            if error.problem not in _REFUSALS:
                raise
            print_note(f"{error}; try again")
        else:
            print_note("WhatsApp has taken the passkey; keep WhatsApp open on the phone …")

    def _show(self, passkey: dict[str, Any]) -> None:
        if self._is_json:
            print_json({"state": "passkey", "options": passkey["options"], "origin": passkey["origin"]}, indent=0)
            return
        if passkey.get("error"):
            print_line(f"It came to nothing: {passkey['error']}")
        print_line(f"WhatsApp wants the account's passkey. In a browser that has it, open {passkey['origin']},")
        print_line("open the console of that page (F12), paste this line there, and give the passkey:")
        print_line()
        print_line(snippet(passkey["options"]))
        print_line()
        print_line("Copy what the page then shows, paste it here, and press Enter:")

    async def _confirm(self, code: str) -> None:
        if self._is_json:
            print_json({"state": "confirm", "code": code}, indent=0)
        else:
            print_line(f"Does the phone show {code}? Press Enter if so, else Ctrl-C.")
        await _line()
        await self._daemon.post(f"{self._path}/confirm", {})


async def _line() -> str:
    """Return a line of standard input. At its end wait for ever: no line will come."""
    line: str = await trio.to_thread.run_sync(sys.stdin.readline, MAX_LINE, abandon_on_cancel=True)
    if not line:
        await trio.sleep_forever()  # the passkey may still be given through the dashboard or the API
    return line.strip()
