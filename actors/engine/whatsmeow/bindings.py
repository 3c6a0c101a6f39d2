"""The C side of the WhatsApp library: its functions' signatures, and copying and freeing what they return."""

from __future__ import annotations

import ctypes
from typing import Any

from actors.engine.errors import LibraryError

TEXT_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
EVENT_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)


class Bytes(ctypes.Structure):
    """Bytes that the library allocated."""

    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Proxy(ctypes.Structure):
    """A proxy for a client's traffic."""

    _fields_ = [
        ("address", ctypes.c_char_p),
        ("no_websocket", ctypes.c_bool),
        ("only_login", ctypes.c_bool),
        ("no_media", ctypes.c_bool),
    ]


class Bindings:
    """The loaded shared library."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._go: Any = ctypes.CDLL(path)
        for name, (result, arguments) in _signatures().items():
            function = getattr(self._go, name)
            function.restype = result
            function.argtypes = arguments

    def take_text(self, address: int | None) -> str:
        """Return a text that the library returned; empty for none. Frees the library's copy."""
        if not address:
            return ""
        try:
            return ctypes.string_at(address).decode("utf-8", "replace")
        finally:
            self._go.FreeString(address)

    def take_bytes(self, pointer: Any) -> bytes:
        """Return the bytes that the library returned; empty for none. Frees the library's copy."""
        if not pointer:
            return b""
        try:
            return ctypes.string_at(pointer.contents.data, pointer.contents.size) if pointer.contents.data else b""
        finally:
            self._go.FreeBytesStruct(pointer)

    def take_answer(self, answer: Any, pointer: Any) -> Any:
        """Read a protobuf that the library returned into ``answer``. Raise LibraryError when it carries an error."""
        # Some answers that carry an error leave out fields that their definition requires.
        answer.MergeFromString(self.take_bytes(pointer))
        if answer.Error:
            raise LibraryError(str(answer.Error))
        return answer


def raise_error(text: str) -> None:
    """Raise LibraryError unless ``text`` is empty."""
    if text:
        raise LibraryError(text)


def _signatures() -> dict[str, tuple[Any, list[Any]]]:
    text, number, pointer, answer = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Bytes)
    return {
        "GetVersion": (pointer, []),
        "Neonize": (
            pointer,
            [text, text, text, number, number, text, TEXT_CALLBACK, TEXT_CALLBACK, EVENT_CALLBACK, LOG_CALLBACK,
             pointer, number, text, number, text, number, pointer],
        ),
        "Stop": (pointer, [text]),
        "Disconnect": (None, [text]),
        "SendMessage": (answer, [text, text, number, text, number]),
        "PairPhone": (answer, [text, text, number]),
        "SetPassive": (pointer, [text, ctypes.c_bool]),
        "Logout": (pointer, [text]),
        "Upload": (answer, [text, text, number, number]),
        "DownloadMediaWithPath": (answer, [text, text, text, number, text, number, text, number, number, number, text]),
        "IsOnWhatsApp": (answer, [text, text]),
        "GetPNFromLID": (answer, [text, text, number]),
        "GetLIDFromPN": (answer, [text, text, number]),
        "GetJoinedGroups": (answer, [text]),
        "GetGroupInfo": (answer, [text, text, number]),
        "MarkRead": (pointer, [text, text, number, text, number, text, number, text]),
        "SendChatPresence": (pointer, [text, text, number, number, number]),
        "GetAllDevices": (pointer, [text, LOG_CALLBACK]),
        "FreeString": (None, [pointer]),
        "FreeBytesStruct": (None, [answer]),
    }  # fmt: skip
