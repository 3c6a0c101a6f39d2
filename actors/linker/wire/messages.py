"""The generated classes of WhatsApp's protobufs that linking needs; neonize brings them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs of its own


class Unreadable(ValueError):
    """Bytes that are not the message that was expected."""


def parsed(message: Any, data: bytes) -> Any:
    """Return ``message``, filled from ``data``. Raise `Unreadable`."""
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise Unreadable("not the message that was expected") from error
    return message


@dataclass(frozen=True, slots=True)
class Messages:
    """The generated modules."""

    certificate: Any
    """waCert: `CertChain`."""
    handshake: Any
    """waWa6: `HandshakeMessage`, `ClientPayload`."""
    registration: Any
    """waCompanionReg: `DeviceProps`, and the messages of linking with a passkey."""
    identity: Any
    """waAdv: `ADVSignedDeviceIdentityHMAC` and what is in it."""


def load_messages() -> Messages:
    """Import the modules below a bare `neonize` package, whose own ``__init__`` would load the whole library."""
    if "neonize" not in sys.modules:
        spec = importlib.util.find_spec("neonize")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("neonize is not installed: the linker needs its protobufs")
        bare = types.ModuleType("neonize")
        bare.__path__ = list(spec.submodule_search_locations)
        bare.__spec__ = spec
        sys.modules["neonize"] = bare
    return Messages(
        certificate=importlib.import_module("neonize.proto.waCert.WACert_pb2"),
        handshake=importlib.import_module("neonize.proto.waWa6.WAWebProtobufsWa6_pb2"),
        registration=importlib.import_module("neonize.proto.waCompanionReg.WACompanionReg_pb2"),
        identity=importlib.import_module("neonize.proto.waAdv.WAAdv_pb2"),
    )
