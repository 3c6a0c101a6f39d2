"""Binary XML: nodes to bytes and back, with the dictionary of version 3.

A node is a list of 1 + 2 x attributes + (content ? 1 : 0) items. A payload's first byte is a flag: bit 2 means zlib.
"""

from __future__ import annotations

import zlib
from typing import Final

from actors.linker.wire.jid import LID_SERVER, PN_SERVER, Jid
from actors.linker.wire.nodes import Node
from actors.linker.wire.tokens import DICTIONARY_0, Dictionary

EMPTY: Final = 0
AD_JID: Final = 247
LIST_8: Final = 248
LIST_16: Final = 249
JID_PAIR: Final = 250
HEX_8: Final = 251
BINARY_8: Final = 252
BINARY_20: Final = 253
BINARY_32: Final = 254
NIBBLE_8: Final = 255
PACKED_MAX: Final = 127
MAX_INFLATED: Final = 1024 * 1024
MAX_DEPTH: Final = 32

_NIBBLES: Final = "0123456789-.\0\0\0\0"
_HEX: Final = "0123456789ABCDEF"
_NIBBLE_OF: Final = {character: value for value, character in enumerate("0123456789-.")}
_HEX_OF: Final = {character: value for value, character in enumerate(_HEX)}
_WIDTHS: Final = {BINARY_8: 1, BINARY_20: 3, BINARY_32: 4}
_SERVERS: Final = {0: PN_SERVER, 1: LID_SERVER, 128: "hosted", 129: "hosted.lid"}
_AGENTS: Final = {server: agent for agent, server in _SERVERS.items()}


class BadNodeError(ValueError):
    """Bytes that are no node."""


def encode(node: Node, words: Dictionary) -> bytes:
    """A whole payload, uncompressed."""
    out = bytearray(b"\0")
    _write_node(out, node, words)
    return bytes(out)


def decode(payload: bytes, words: Dictionary, *, max_inflated: int = MAX_INFLATED) -> Node:
    """Read one payload of at most ``max_inflated`` bytes when it is compressed. Raise BadNodeError."""
    if not payload:
        raise BadNodeError("empty payload")
    body = _inflate(payload[1:], max_inflated) if payload[0] & 2 else payload[1:]
    reader = _Reader(body, words)
    try:
        node = reader.node(0)
    except IndexError as exc:
        raise BadNodeError("payload ends in the middle of a node") from exc
    if reader.at != len(body):
        raise BadNodeError(f"{len(body) - reader.at} bytes after the node")
    return node


def _inflate(data: bytes, max_inflated: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, max_inflated)
    except zlib.error as exc:
        raise BadNodeError("not zlib") from exc
    if inflater.unconsumed_tail or not inflater.eof:
        raise BadNodeError(f"compressed payload is cut off or longer than {max_inflated} bytes")
    return body


def _write_node(out: bytearray, node: Node, words: Dictionary) -> None:
    _write_list_size(out, 1 + 2 * len(node.attrs) + (node.content is not None))
    _write_text(out, node.tag, words)
    for name, value in node.attrs.items():
        _write_text(out, name, words)
        if isinstance(value, Jid):
            _write_jid(out, value, words)
        else:
            _write_text(out, value, words)
    match node.content:
        case None:
            pass
        case bytes() as data:
            _write_bytes(out, data)
        case str() as text:
            _write_text(out, text, words)
        case children:
            _write_list_size(out, len(children))
            for child in children:
                _write_node(out, child, words)


def _write_list_size(out: bytearray, size: int) -> None:
    if size == 0:
        out.append(EMPTY)
    elif size < 1 << 8:
        out += bytes((LIST_8, size))
    elif size < 1 << 16:
        out.append(LIST_16)
        out += size.to_bytes(2, "big")
    else:
        raise BadNodeError(f"list of {size} items, 65535 is the most")


def _write_bytes(out: bytearray, data: bytes) -> None:
    size = len(data)
    if size < 1 << 8:
        out += bytes((BINARY_8, size))
    elif size < 1 << 20:
        out.append(BINARY_20)
        out += size.to_bytes(3, "big")
    else:
        out.append(BINARY_32)
        out += size.to_bytes(4, "big")
    out += data


def _write_text(out: bytearray, text: str, words: Dictionary) -> None:
    known = words.encoded.get(text)
    if known is not None:
        out += known
    elif not 0 < len(text) <= PACKED_MAX:
        _write_bytes(out, text.encode())
    elif all(character in _NIBBLE_OF for character in text):
        _write_packed(out, NIBBLE_8, [_NIBBLE_OF[character] for character in text])
    elif all(character in _HEX_OF for character in text):
        _write_packed(out, HEX_8, [_HEX_OF[character] for character in text])
    else:
        _write_bytes(out, text.encode())


def _write_packed(out: bytearray, tag: int, values: list[int]) -> None:
    odd = len(values) & 1
    out += bytes((tag, (len(values) + odd) // 2 | odd << 7))
    values = values + [15] * odd
    out += bytes(high << 4 | low for high, low in zip(values[::2], values[1::2], strict=True))


def _write_jid(out: bytearray, jid: Jid, words: Dictionary) -> None:
    if jid.device and jid.server in _AGENTS:
        out += bytes((AD_JID, _AGENTS[jid.server], jid.device))
        _write_text(out, jid.user, words)
        return
    out.append(JID_PAIR)
    if jid.user:
        _write_text(out, jid.user, words)
    else:
        out.append(EMPTY)
    _write_text(out, jid.server, words)


class _Reader:
    """A cursor over a payload; IndexError when it runs over the end."""

    def __init__(self, data: bytes, words: Dictionary) -> None:
        self.data = data
        self.at = 0
        self._single = words.single
        self._double = words.double

    def node(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadNodeError(f"nodes nested deeper than {MAX_DEPTH}")
        size = self._list_size(self._byte())
        tag = self._text()
        if size == 0 or not tag:
            raise BadNodeError("a node without a tag")
        attrs: dict[str, str | Jid] = {}
        for _ in range((size - 1) >> 1):
            name = self._text()
            attrs[name] = self._value(self._byte())
        return Node(tag, attrs, None if size & 1 else self._content(depth))

    def _content(self, depth: int) -> bytes | str | tuple[Node, ...] | None:
        tag = self._byte()
        if tag in _WIDTHS:
            return self._binary(tag)
        if tag in (LIST_8, LIST_16):
            return tuple([self.node(depth + 1) for _ in range(self._list_size(tag))])
        return None if tag == EMPTY else str(self._value(tag))

    def _byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise IndexError
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def _list_size(self, tag: int) -> int:
        if tag == LIST_8:
            return self._byte()
        if tag == EMPTY:
            return 0
        if tag == LIST_16:
            return int.from_bytes(self._take(2), "big")
        raise BadNodeError(f"byte {tag} where a list should begin")

    def _binary(self, tag: int) -> bytes:
        if tag == BINARY_8:
            return self._take(self._byte())
        size = int.from_bytes(self._take(_WIDTHS[tag]), "big")
        return self._take(size & 0xFFFFF if tag == BINARY_20 else size)

    def _text(self) -> str:
        tag = self._byte()
        if 0 < tag < DICTIONARY_0:  # nearly always: the common words have numbers of one byte
            return self._single[tag]
        return str(self._value(tag))

    def _value(self, tag: int) -> str | Jid:
        if tag == EMPTY:
            return ""
        if tag < DICTIONARY_0:
            return self._single[tag]
        if tag < DICTIONARY_0 + len(self._double):
            return self._double[tag - DICTIONARY_0][self._byte()]
        if tag in _WIDTHS:
            return self._decoded(self._binary(tag))
        if tag in (NIBBLE_8, HEX_8):
            return self._packed(_NIBBLES if tag == NIBBLE_8 else _HEX)
        if tag == JID_PAIR:
            user = self._text()
            return Jid(user, self._text())
        if tag == AD_JID:
            return self._ad_jid()
        raise BadNodeError(f"byte {tag} where a value should begin")

    @staticmethod
    def _decoded(data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as exc:
            raise BadNodeError("text that is not UTF-8") from exc

    def _packed(self, alphabet: str) -> str:
        start = self._byte()
        packed = self._take(start & 127)
        text = "".join(alphabet[byte >> 4] + alphabet[byte & 15] for byte in packed)
        return text[:-1] if start >> 7 else text

    def _ad_jid(self) -> Jid:
        agent, device = self._byte(), self._byte()
        if agent not in _SERVERS:
            raise BadNodeError(f"agent {agent} in an address")
        return Jid(self._text(), _SERVERS[agent], device)
