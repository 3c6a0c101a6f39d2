"""The node codec: written nodes are read back, with either dictionary, and garbage is refused."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.linker.wire.binary import BadNodeError, decode, encode
from actors.linker.wire.jid import Jid
from actors.linker.wire.nodes import Node
from tests.loopback.tokens import dictionary

VERSIONS = (2, 3)
WORDS = sorted({word for version in VERSIONS for word in dictionary(version).encoded})
texts = st.one_of(
    st.sampled_from(WORDS),
    st.text("0123456789-.", max_size=140),
    st.text("0123456789ABCDEF", max_size=140),
    st.text(st.characters(codec="utf-8"), max_size=300),
)
tags = texts.filter(bool)
jids = st.builds(
    Jid,
    user=st.text("0123456789", min_size=1, max_size=15),
    server=st.sampled_from(["s.whatsapp.net", "lid", "hosted", "hosted.lid"]),
    device=st.integers(0, 255),
) | st.builds(Jid, user=st.just(""), server=st.sampled_from(["s.whatsapp.net", "g.us"]))
attributes = st.dictionaries(tags, texts | jids, max_size=6)


def nodes_of(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Nodes whose content is nothing, bytes, or a few of ``children``."""
    lists = st.lists(children, min_size=1, max_size=4).map(tuple)
    return st.builds(Node, tag=tags, attrs=attributes, content=st.none() | st.binary(max_size=400) | lists)


nodes = st.recursive(st.builds(Node, tag=tags, attrs=attributes, content=st.none()), nodes_of, max_leaves=12)


@given(nodes, st.sampled_from(VERSIONS))
def test_a_node_survives_the_wire(node: Node, version: int) -> None:
    """Decoding an encoded node gives the node, with both dictionaries."""
    words = dictionary(version)

    assert decode(encode(node, words), words) == node


@given(nodes)
def test_a_compressed_payload_is_read(node: Node) -> None:
    """A payload whose flag says zlib is inflated."""
    words = dictionary(3)
    compressed = b"\2" + zlib.compress(encode(node, words)[1:])

    assert decode(compressed, words) == node


@given(nodes, st.data())
def test_a_truncated_payload_is_refused(node: Node, data: st.DataObject) -> None:
    """A node that is cut off anywhere is a BadNodeError, never a shorter node."""
    words = dictionary(3)
    payload = encode(node, words)
    cut = data.draw(st.integers(0, len(payload) - 1))

    with pytest.raises(BadNodeError):
        decode(payload[:cut], words)


@given(st.binary(max_size=200))
def test_garbage_is_read_or_refused(payload: bytes) -> None:
    """Any bytes are a node or a BadNodeError, nothing else."""
    with contextlib.suppress(BadNodeError):
        decode(payload, dictionary(3))


@pytest.mark.parametrize("size", [0, 1, 255, 256, (1 << 20) - 1, 1 << 20])
def test_bytes_of_every_width_survive(size: int) -> None:
    """The three widths of length fields meet without a gap."""
    words = dictionary(3)
    node = Node("enc", {}, bytes(size))

    assert decode(encode(node, words), words) == node


def test_a_long_list_survives() -> None:
    """More than 255 children take the wide list, as 812 uploaded keys do."""
    words = dictionary(3)
    node = Node("list", {}, tuple(Node("key", {"id": str(number)}) for number in range(812)))

    assert decode(encode(node, words), words) == node


def test_known_bytes() -> None:
    """A node is written byte for byte as clients write it."""
    ack = Node("iq", {"id": "12-3", "to": Jid("", "s.whatsapp.net"), "from": Jid("123", "lid", 2)})
    words = dictionary(3)

    written = encode(ack, words)

    expected = bytes([0, 248, 7, words.encoded["iq"][0], 8, 255, 2, 0x12, 0xA3, 17, 250, 0, 3, 6, 247, 1, 2])
    assert written == expected + bytes([255, 0x82, 0x12, 0x3F])


def test_the_dictionaries_differ() -> None:
    """A word of one dictionary is another word in the other: the header's version must decide."""
    payload = encode(Node("devices"), dictionary(2))

    assert decode(payload, dictionary(3)) != Node("devices")


def test_an_unknown_dictionary_is_refused() -> None:
    """A dictionary that we do not have is an error, not a guess."""
    with pytest.raises(ValueError, match="dictionary version 4 is unknown"):
        dictionary(4)


def test_deep_nesting_is_refused() -> None:
    """A payload cannot make the reader recurse without end."""
    words = dictionary(3)
    node = Node("a")
    for _ in range(40):
        node = Node("a", {}, (node,))

    with pytest.raises(BadNodeError, match="nested deeper"):
        decode(encode(node, words), words)


def test_a_zlib_bomb_is_refused() -> None:
    """A small payload that inflates to more than 16 MiB is not inflated."""
    bomb = b"\2" + zlib.compress(bytes(32 * 1024 * 1024))

    with pytest.raises(BadNodeError, match="longer than"):
        decode(bomb, dictionary(3))
