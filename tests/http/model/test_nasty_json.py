"""E6: unusual JSON, searched for by hypothesis: the client's fault every time, and refused quickly."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest
import trio
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from actors.http.model.message_schema import SendBody
from config.sections import HttpSettings
from tests.http.world import ADMIN_KEY, COMPANY_A, running, sample_world

SEED = 20261121
SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
NASTY = (
    *("NaN", "-Infinity", "1e999999", "-0", "00", "0x1", "+1", ".5", "tru", "null", "\x00", "\ufeff{}", "//", "'x'"),
    *(
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\u0000"',
        '"\x00"',
        '"\ud800"',
        '"\\x"',
        '"\\u12"',
        '"',
        "{",
        "}",
        "]",
        ",",
        ":",
    ),
    *("9" * 400, "9" * 20_000, "[" * 5_000, '{"a":' * 5_000, "[" * 5_000 + "]" * 5_000, '"' + "a" * 70_000 + '"'),
)
NAMES = st.one_of(st.sampled_from([*SendBody.__struct_fields__, "fileName", "__proto__", ""]), st.text(max_size=5))
STRINGS = st.text(max_size=20)
LEAVES = st.one_of(
    st.sampled_from(NASTY),
    st.integers(-(10**40), 10**40).map(str),
    st.floats().map(repr),
    STRINGS.map(json.dumps),
    st.text(st.characters(), max_size=20).map('"{}"'.format),
    st.sampled_from(["true", "false", "[]", "{}"]),
)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members) + "}"


VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda values: "[" + ",".join(values) + "]"),
        st.lists(st.tuples(NAMES, inner), max_size=4).map(_object),
    ),
    max_leaves=8,
)
MESSAGES = st.lists(st.tuples(NAMES, VALUES), max_size=4).map(
    lambda more: _object([("phone", '"+79000000002"'), *more])
)


class Body(bytes):
    """Bytes with a short repr: some are as long as a body may be."""

    def __repr__(self) -> str:
        return f"{bytes(self[:400])!r}, {len(self)} in all"


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Something like JSON, perhaps with wrong bytes in it, perhaps cut off."""
    text = draw(st.one_of(VALUES, MESSAGES))
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=2)):
        data[place % len(data) : place % len(data) + 1] = bytes([byte])
    return Body(data[: draw(st.integers(0, 400))]) if draw(st.booleans()) else Body(data)


@dataclass
class Answers:
    """How that many bodies were answered."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    seconds: list[float] = field(default_factory=list[float])
    """Of processor time, the client's included."""

    def search(self, port: int, examples: int) -> None:
        """Send one after the other. Must run on a thread of its own."""
        connection = HTTPConnection("127.0.0.1", port, timeout=60)

        @seed(SEED)
        @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
        @given(bodies())
        def ask(body: Body) -> None:
            began = time.process_time()
            connection.request("POST", SEND, body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            self.seconds.append(time.process_time() - began)
            self.statuses[answer.status] += 1
            assert answer.status == 200 or 400 <= answer.status < 500

        try:
            ask()
        finally:
            connection.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "examples", [500, pytest.param(10_000, marks=pytest.mark.long), pytest.param(100_000, marks=pytest.mark.chaos)]
)
async def test_e6_no_json_is_the_servers_fault(examples: int) -> None:
    """Only 4xx, or 200 for the few that are messages; nothing else is sent."""
    world = sample_world()
    world.limit = 10**9
    answers = Answers()
    async with running(world, HttpSettings()) as daemon:
        await trio.to_thread.run_sync(answers.search, daemon.port, examples)
        company = world.companies[COMPANY_A]
        sent = len(company.sent) + len(company.contents)
        restarts = daemon.system.snapshot("/http").restarts

    p99 = sorted(answers.seconds)[round(0.99 * (len(answers.seconds) - 1))]
    print(
        f"E6: {len(answers.seconds):,} bodies of hypothesis, seed {SEED}: {dict(answers.statuses)}, {sent} of them sent; "
        f"p99 {p99 * 1000:.1f} ms of processor time (bar 50)"
    )
    assert len(answers.seconds) >= examples
    assert sent == answers.statuses[200]
    assert restarts == 0
