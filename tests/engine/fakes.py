"""A library that a test controls, in place of WhatsApp's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from actors.engine.errors import LibraryError
from actors.engine.protocol.contents import StoredFile
from actors.engine.whatsmeow.library import Callbacks, Library


class FakeLibrary:
    """`run` blocks until `stop`, as the real one does; hooks decide the rest. Calls are recorded in ``done``."""

    def __init__(self, real: Library) -> None:
        self.protobufs: Any = real.protobufs
        self.messages: Any = real.messages
        self.done: list[tuple[str, str]] = []
        self.callbacks: dict[str, Callbacks] = {}
        self.started = threading.Event()
        self.on_opening: Callable[[], None] = lambda: None
        self.on_run: Callable[[Callbacks], str | None] = lambda callbacks: None
        self.on_disconnect: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        self.on_send: Callable[[bytes, bytes], None] = lambda to, message: None
        self.on_round_trip: Callable[[], None] = lambda: None
        self.on_inquiry: Callable[[], None] = lambda: None
        self.never_returns = False
        self._stopped: dict[str, threading.Event] = {}

    def run(
        self, client: str, file: str, proxy: str | None, device_name: str, subscribed: bytes, callbacks: Callbacks
    ) -> str:
        self.done.append(("run", client))
        self.callbacks[client] = callbacks
        stopped = self._stopped.setdefault(client, threading.Event())
        self.on_opening()
        callbacks.log("DEBUG", "Client/Socket", "Dialing wss://web.whatsapp.com/ws/chat")
        answer = self.on_run(callbacks)
        self.started.set()
        if answer is not None:
            return answer
        stopped.wait(20)
        while self.never_returns:
            threading.Event().wait(0.05)
        return ""

    def stop(self, client: str) -> None:
        self.done.append(("stop", client))
        self.on_stop()
        self._stopped.setdefault(client, threading.Event()).set()

    def disconnect(self, client: str) -> None:
        self.done.append(("disconnect", client))
        self.on_disconnect()

    def send_message(self, client: str, to: bytes, message: bytes) -> Any:
        self.done.append(("send", client))
        self.on_send(to, message)
        return self.protobufs.SendResponse(ID="3EB0", Timestamp=1795227239)

    def pair_phone(self, client: str, phone: str) -> str:
        self.done.append(("pair", phone))
        return "ABCD-1234"

    def round_trip(self, client: str) -> None:
        self.done.append(("ping", client))
        self.on_round_trip()

    def upload(self, client: str, data: bytes, kind: str) -> Any:
        self.done.append(("upload", kind))
        self.on_inquiry()
        names = ("url", "DirectPath", "Handle", "MediaKey", "FileEncSHA256", "FileSHA256")
        values = {name: b"" if name[0] in "FM" else "" for name in names}
        return self.protobufs.UploadResponse(FileLength=len(data), **values)

    def download(self, client: str, file: StoredFile) -> bytes:
        self.done.append(("download", file.kind))
        self.on_inquiry()
        return b"file"

    def is_on_whatsapp(self, client: str, phone: str) -> Any:
        self.done.append(("check", phone))
        self.on_inquiry()
        jid = self.protobufs.JID(User=phone, Server="s.whatsapp.net", RawAgent=0, Device=0, Integrator=0)
        return self.protobufs.IsOnWhatsAppResponse(Query=phone, IsIn=True, JID=jid)

    def pn_of(self, client: str, lid: bytes) -> Any:
        return self.protobufs.JID(User="", Server="", RawAgent=0, Device=0, Integrator=0)

    def lid_of(self, client: str, pn: bytes) -> Any:
        return self.protobufs.JID(User="", Server="", RawAgent=0, Device=0, Integrator=0)

    def joined_groups(self, client: str) -> Any:
        self.done.append(("groups", client))
        self.on_inquiry()
        return []

    def group(self, client: str, jid: bytes) -> Any:
        self.done.append(("group", client))
        self.on_inquiry()
        raise LibraryError("that group does not exist")

    def mark_read(self, client: str, message_ids: tuple[str, ...], chat: bytes, sender: bytes) -> None:
        self.done.append(("read", " ".join(message_ids)))
        self.on_inquiry()

    def set_typing(self, client: str, chat: bytes, state: str) -> None:
        self.done.append(("typing", state))
        self.on_inquiry()

    def logout(self, client: str) -> None:
        self.done.append(("logout", client))

    def callback(self) -> Callbacks:
        """The newest client's."""
        return self.callbacks[next(reversed(self.callbacks))]


def held(release: threading.Event) -> Callable[[], None]:
    """A hook that blocks its thread until the test lets it go."""

    def hook() -> None:
        release.wait(10)

    return hook


def refuse(text: str) -> Callable[..., None]:
    """A hook that raises the library's error."""

    def hook(*_: object) -> None:
        raise LibraryError(text)

    return hook
