"""The WhatsApp library (neonize 0.5.2, Go) behind typed calls: the only module that calls it.

Only the shared library and the generated protobuf classes are loaded, not the Python package around them: that costs 27 MB more, needs
libmagic, prints QR codes, and takes two threads a client where one is enough. Every method here blocks and may be called from any
thread; none may be called for a client id before its `run` has settled in the library or after `stop`, because the library dereferences
nil then (actors/engine/whatsmeow/client.py keeps that order).
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import platform
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, final

from actors.engine.device.sqlite import CACHE_KIB
from actors.engine.errors import EngineError
from actors.engine.whatsmeow.bindings import EVENT_CALLBACK, LOG_CALLBACK, TEXT_CALLBACK, Proxy, raise_error
from actors.engine.whatsmeow.error_texts import is_database_error
from actors.engine.whatsmeow.library_queries import Inquiries, InquiryLibrary

VERSION: Final = "0.5.2"

_LOG_LEVEL: Final = b"DEBUG"
"""Shows every node before it is read or sent (actors/engine/whatsmeow/receipts.py). No line of this level may reach a log."""

_FILE_OPTIONS: Final = f"?_foreign_keys=on&_cache_size=-{CACHE_KIB}&ignored="
"""The library appends its own ``?_foreign_keys=on`` to the file's name, which thereby becomes the value of the last option."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Functions that the library calls on threads of its own; none may raise."""

    qr: Callable[[str], None]
    login_status: Callable[[str], None]
    """How offering QR codes ended: `success`, `timeout`, `error`, `err-…`."""
    event: Callable[[int, bytes], None]
    """Event number and its protobuf (actors/engine/whatsmeow/events.py)."""
    log: Callable[[str, str, str], None]
    """Level, logger, text."""


class WhatsAppLibrary(InquiryLibrary, Protocol):
    """The calls that the engine needs of a library; `Library` has the contracts."""

    @property
    def protobufs(self) -> Any: ...
    @property
    def messages(self) -> Any: ...
    def run(
        self, client: str, file: str, proxy: str | None, device_name: str, subscribed: bytes, callbacks: Callbacks
    ) -> str: ...
    def stop(self, client: str) -> None: ...
    def disconnect(self, client: str) -> None: ...
    def send_message(self, client: str, to: bytes, message: bytes) -> Any: ...
    def pair_phone(self, client: str, phone: str) -> str: ...
    def round_trip(self, client: str) -> None: ...
    def logout(self, client: str) -> None: ...


def package_directory() -> Path:
    """Return where neonize is installed, found without importing it."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("neonize is not installed: the engine needs version " + VERSION)
    return Path(next(iter(spec.submodule_search_locations)))


def load_protobufs() -> Any:
    """Return the generated classes, imported below a bare `neonize` package so that its ``__init__`` does not run."""
    if "neonize" not in sys.modules:
        bare = types.ModuleType("neonize")
        bare.__path__ = [str(package_directory())]
        # Without it `package_directory` could not be asked a second time (tests/packaging/test_pins.py).
        bare.__spec__ = importlib.util.find_spec("neonize")
        sys.modules["neonize"] = bare
    return _load_messages("neonize.proto.Neonize_pb2")


def _load_messages(module: str) -> Any:
    """Import generated classes; they refuse a protobuf package older than the one that generated them."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # any failure becomes a sentence that tells an operator what to install
        found = importlib.metadata.version("protobuf") if importlib.util.find_spec("google.protobuf") else "none"
        raise EngineError(
            f"neonize {VERSION} cannot be used with protobuf {found}: install the packages again that constraints.txt names "
            f"({type(error).__name__}: {error})"
        ) from error


def library_path() -> Path:
    """Return the path of the shared library for this machine. Raise EngineError when the package has none."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = package_directory() / f"neonize-linux-{machine}.so"
    if not path.exists():
        raise EngineError(
            f"neonize has no library for {platform.system()} {platform.machine()} ({path.name} is missing)"
        )
    return path


@final
class Library(Inquiries):
    """The loaded library."""

    def __init__(self) -> None:
        super().__init__(str(library_path()))
        self.protobufs: Any = load_protobufs()
        self.messages: Any = _load_messages("neonize.proto.waE2E.WAWebProtobufsE2E_pb2")
        self._silent = LOG_CALLBACK(_ignore)
        self._functions: list[tuple[Any, Any, Any, Any]] = []
        found = ctypes.string_at(self._go.GetVersion()).decode()
        if found != VERSION:
            raise EngineError(f"neonize {found} is installed where {VERSION} was expected")

    # --- the life of a client -----------------------------------------------------------------------------------------

    def run(
        self, client: str, file: str, proxy: str | None, device_name: str, subscribed: bytes, callbacks: Callbacks
    ) -> str:
        """Connect and deliver events until `stop`. Return the library's error text, empty when there was none.

        For a client that never got a device (no phone scanned the QR code) this never returns: the library waits for a JID for ever.
        """
        listener = _Listener(callbacks)
        functions = _wrap(listener, self.protobufs)
        # Never freed: the library's goroutines outlive this call, and one that logs through freed memory ends the process.
        self._functions.append(functions)
        properties = self._device_properties(device_name)
        buffer = (ctypes.c_char * len(subscribed)).from_buffer(bytearray(subscribed))
        settings = ctypes.byref(Proxy(proxy.encode(), False, False, False)) if proxy else None
        qr, status, event, log = functions
        result = self._go.Neonize(
            (file + _FILE_OPTIONS).encode(), client.encode(), b"", 0, 0, _LOG_LEVEL, qr, status, event, log, buffer, len(subscribed),
            properties, len(properties), b"", 0, settings,
        )  # fmt: skip
        listener.callbacks = None
        return self.take_text(result)

    def stop(self, client: str) -> None:
        """Disconnect and forget the client; does nothing for a client that the library does not know."""
        self.take_text(self._go.Stop(client.encode()))

    def disconnect(self, client: str) -> None:
        """Leave WhatsApp and switch the library's own reconnecting off. Waits for a dial that is under way."""
        self._go.Disconnect(client.encode())

    # --- calls --------------------------------------------------------------------------------------------------------

    def send_message(self, client: str, to: bytes, message: bytes) -> Any:
        """Send a message (serialised JID and message); return the response protobuf. Raise LibraryError."""
        pointer = self._go.SendMessage(client.encode(), to, len(to), message, len(message))
        return self.take_answer(self.protobufs.SendMessageReturnFunction(), pointer).SendResponse

    def pair_phone(self, client: str, phone: str) -> str:
        """Return the code for ``phone`` (digits) in the form the phone asks for. Raise LibraryError when WhatsApp refuses."""
        # WhatsApp accepts only a browser and an operating system it knows as the display name.
        parameters = self.protobufs.PairPhoneParams(
            phone=phone, showPushNotification=True, clientType=1, clientDisplayName="Chrome (Linux)"
        ).SerializeToString()
        pointer = self._go.PairPhone(client.encode(), parameters, len(parameters))
        return str(self.take_answer(self.protobufs.PairPhoneReturnFunction(), pointer).Code)

    def round_trip(self, client: str) -> None:
        """Send one iq and wait for the result: ``<iq xmlns="passive"><active/>``, which only repeats what log-in already said."""
        raise_error(self.take_text(self._go.SetPassive(client.encode(), False)))

    def logout(self, client: str) -> None:
        """Unlink this device; the library deletes its rows and disconnects."""
        raise_error(self.take_text(self._go.Logout(client.encode())))

    def make_database(self, path: Path) -> None:
        """Make a database with the library's present schema. The library never closes its handle: call this once per process."""
        text = self.take_text(self._go.GetAllDevices(str(path).encode(), self._silent))
        if is_database_error(text):
            raise EngineError(f"the library cannot make a database: {text}")

    # --- plumbing -----------------------------------------------------------------------------------------------------

    def _device_properties(self, device_name: str) -> bytes:
        companion = importlib.import_module("neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2")
        properties: Any = companion.DeviceProps(os=device_name, platformType=companion.DeviceProps.CHROME)
        return bytes(properties.SerializeToString())


def _ignore(_data: int, _size: int) -> None:
    """A log callback for calls whose error comes back as a value."""


@final
class _Listener:
    """The receiver of the library's calls for one client; None once the client has ended."""

    __slots__ = ("callbacks",)

    def __init__(self, callbacks: Callbacks) -> None:
        self.callbacks: Callbacks | None = callbacks


def _wrap(listener: _Listener, protobufs: Any) -> tuple[Any, Any, Any, Any]:
    """Return C function pointers; the caller keeps them for as long as the library may call them."""

    def qr(_client: int | None, code: int) -> None:
        if (callbacks := listener.callbacks) is not None:
            callbacks.qr(ctypes.string_at(code).decode())

    def status(_client: int | None, text: int) -> None:
        if (callbacks := listener.callbacks) is not None:
            callbacks.login_status(ctypes.string_at(text).decode())

    def event(_client: bytes, data: int, size: int, number: int) -> None:
        if (callbacks := listener.callbacks) is not None:
            callbacks.event(number, ctypes.string_at(data, size))

    def log(data: int, size: int) -> None:
        if (callbacks := listener.callbacks) is not None:
            entry = protobufs.LogEntry()
            entry.ParseFromString(ctypes.string_at(data, size))
            callbacks.log(entry.Level, entry.Name, entry.Message)

    return TEXT_CALLBACK(qr), TEXT_CALLBACK(status), EVENT_CALLBACK(event), LOG_CALLBACK(log)
