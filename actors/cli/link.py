"""`wasup link`: link a company to a phone, from the terminal."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any, final

import trio

from actors.cli.client import Daemon, open_daemon
from actors.cli.follow import Event, Following, follow
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import clear_screen, print_block, print_json, print_line, print_note, terminal_fits
from actors.cli.passkey_walk import PasskeyWalk
from actors.cli.qr_file import QrFile, qr_file
from actors.company.states import OFFER_EXPIRED, PASSKEY_EXPIRED
from actors.http.routes import qr

_SCAN = "On the phone: WhatsApp, Settings, Linked devices, Link a device. Scan this code:"
_TYPE = (
    "On the phone: WhatsApp, Settings, Linked devices, Link a device, Link with phone number instead. Type this code:"
)
_LINES_AROUND = 2
_LINKING = ("pairing", "passkey")
PASSKEY_S = 600.0
"""What linking with a passkey may take beyond the time without one."""
_TYPES = ("qr", "pairing_code", "status", "connected", "passkey_required")
_UNDER_WAY = frozenset({"pairing", "passkey", "connecting", "connected", "reconnecting", "unlinked"})


def run(arguments: Namespace) -> int:
    """Return once the company is linked and connected. Raises CommandError: refused, expired (8), failed."""
    run_async(_link, arguments)
    return Exit.DONE


def _nothing() -> None: ...


async def _link(arguments: Namespace) -> None:
    async with open_daemon(arguments) as daemon:
        following = Following(companies=(arguments.company,), types=_TYPES)
        with trio.move_on_after(arguments.timeout) as limit, qr_file(arguments.qr_file) as file:
            linking = Linking(daemon, arguments.company, arguments.phone, is_json=arguments.json, qr_file=file)
            await _follow(daemon, following, linking, limit)
        if limit.cancelled_caught:
            raise CommandError(
                Exit.EXPIRED, f"company {arguments.company} was not linked within {arguments.timeout:g} s"
            )


async def _follow(daemon: Daemon, following: Following, linking: Linking, limit: trio.CancelScope) -> None:
    failure: CommandError | None = None
    async with trio.open_nursery() as nursery:
        linking.beside = partial(_walk, nursery, linking.passkey, limit)
        try:
            await follow(daemon, following, linking.take, on_open=linking.begin)
        except CommandError as error:
            failure = error  # raised again below, outside the nursery, which would wrap it in a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _walk(nursery: trio.Nursery, walk: PasskeyWalk, limit: trio.CancelScope) -> None:
    limit.deadline += PASSKEY_S
    nursery.start_soon(_walk_quietly, walk)


async def _walk_quietly(walk: PasskeyWalk) -> None:
    try:
        await walk.run()
    except CommandError as error:
        print_note(f"{error}")  # the events tell how linking ends


@final
class Linking:
    """The linking of one company, as shown in the terminal."""

    def __init__(
        self, daemon: Daemon, company_id: str, phone: str | None, *, is_json: bool, qr_file: QrFile | None = None
    ) -> None:
        self._daemon = daemon
        self._qr_file = qr_file
        self._company_id = company_id
        self._body = {"method": "qr"} if phone is None else {"method": "code", "phone": phone}
        self._is_json = is_json
        self._has_begun = False
        self._shown: str | None = None
        self.passkey = PasskeyWalk(daemon, company_id, is_json=is_json)
        self.beside: Callable[[], None] = _nothing
        """Begins the steps for a passkey."""

    async def begin(self) -> bool:
        """Ask for an offer and show it. Return True when the company was linked while the stream of events was away."""
        if not self._has_begun and not self._is_json:
            print_note("asking WhatsApp for a code …")
        try:
            offer = await self._daemon.post(f"/api/whatsapp/sessions/{self._company_id}/initialize", self._body)
        except CommandError as error:
            if error.problem == "already_linked" and self._has_begun:
                self._tell("linked", f"company {self._company_id} is linked")
                return True
            raise
        self._has_begun = True
        valid_s = max(0.0, offer["expiresAt"] - time.time())
        if offer.get("pairingCode"):
            self._show_code(offer["pairingCode"])
        else:
            self._show_qr(offer["qr"], valid_s)
        return False

    async def take(self, event: Event, _data: bytes) -> bool:
        """Print what the event means. Return True when the company is linked; raises CommandError when it will not be."""
        match event.type:
            case "qr":
                self._show_qr(event.payload["qr"], event.payload.get("validS", math.nan))
            case "pairing_code":
                self._show_code(event.payload["pairingCode"])
            case "status":
                self._follow_status(event.payload)
            case "passkey_required":
                self.beside()
            case "connected":
                number = event.payload.get("phoneNumber")
                self._tell("linked", f"linked: company {self._company_id} is {number}", phoneNumber=number)
                return True
            case _:
                pass
        return False

    def _follow_status(self, payload: dict[str, Any]) -> None:
        status, previous, reason = payload["status"], payload.get("previous"), payload.get("reason", "")
        if previous in _LINKING and status == "connecting":
            self._tell("accepted", "the phone accepted this device; connecting …")
        elif previous in _LINKING and status == "unlinked":
            again = f"run `wasup link {self._company_id}` again"
            if reason in (OFFER_EXPIRED, PASSKEY_EXPIRED):
                raise CommandError(Exit.EXPIRED, f"{reason}; {again}")
            raise CommandError(Exit.TRY_LATER, f"linking broke off: {reason}; then {again}")
        elif status not in _UNDER_WAY:
            raise CommandError(Exit.FAILED, f"company {self._company_id} is {status}: {reason}")

    def _show_qr(self, text: str, valid_s: float) -> None:
        if text == self._shown:
            return  # the offer and its event carry the same code
        self._shown = text
        if self._is_json:
            print_json({"qr": text, "validS": valid_s}, indent=0)
            return
        if self._qr_file is not None:
            self._qr_file.write_bytes(qr.png(text))
            print_line(f"{_SCAN[:-1]} in {self._qr_file.path}.")
        else:
            clear_screen()
            self._draw_qr(text)
        print_line(f"A new code follows in {valid_s:.0f} s." if valid_s >= 1 else "A new code follows soon.")

    def _draw_qr(self, text: str) -> None:
        drawn = qr.terminal(text)
        lines = drawn.splitlines()
        columns, rows = len(lines[0]), len(lines) + _LINES_AROUND
        if terminal_fits(columns, rows):
            print_line(_SCAN)
            print_block(drawn)
            return
        print_line(
            f"This terminal is too small for the QR code, which takes {columns} columns and {rows} lines. Make it larger,"
        )
        print_line(f"or run `wasup link {self._company_id} --qr-file code.png` and open that file,")
        print_line(f"or open the dashboard: {self._daemon.url}/")

    def _show_code(self, code: str) -> None:
        if code == self._shown:
            return
        self._shown = code
        if self._is_json:
            print_json({"pairingCode": code}, indent=0)
            return
        print_line(_TYPE)
        print_line(f"  {code}")

    def _tell(self, what: str, text: str, **facts: object) -> None:
        if self._is_json:
            print_json({"state": what, "companyId": self._company_id, **facts}, indent=0)
        else:
            print_line(text)
