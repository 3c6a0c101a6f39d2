"""Uploads as a form: one file in it, read as it comes."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.http.raw import connected, read_to_end
from tests.http.routes.test_files import MEDIA, SEND, TO, started
from tests.http.routes.test_sessions import problem
from tests.http.world import ADMIN_KEY, COMPANY_A, Daemon, until
from tests.support.samples import PDF, png

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
INPUTS = Path(__file__).parents[2] / "inputs"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncGenerator[Daemon]:
    """A daemon that takes files of 8 KiB."""
    async with started(tmp_path) as daemon:
        yield daemon


def part(name: str, data: bytes, *, file_name: str | None = None, more: str = "") -> bytes:
    """One part as browsers write it."""
    named = "" if file_name is None else f'; filename="{file_name}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A whole form."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FILE = part("file", PDF, file_name="offer.pdf", more="Content-Type: application/pdf\r\n")


def head(content_type: str, length: int) -> bytes:
    """The beginning of an upload over a connection of its own."""
    return (
        f"POST {MEDIA} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def post(daemon: Daemon, body: Any, content_type: str = FORM, **query: str) -> httpx.Response:
    """Upload this."""
    return await daemon.client.post(MEDIA, content=body, params=query, headers={"Content-Type": content_type})


def taken(daemon: Daemon) -> tuple[list[bytes], list[str]]:
    """What WhatsApp got, and the names that are remembered."""
    return list(daemon.world.companies[COMPANY_A].files.values()), [
        known.file.file_name for known in daemon.world.media.values()
    ]


async def test_a_form_as_clients_send_it(daemon: Daemon) -> None:
    """The part `file` is the file, byte for byte; its name is the document's; and it can be sent."""
    answer = await daemon.client.post(MEDIA, files={"file": ("offer.pdf", PDF, "application/pdf")})
    media_id = answer.json()["mediaId"]
    sent = await daemon.client.post(SEND, json={"phone": TO, "document": {"mediaId": media_id}})

    assert (answer.status_code, answer.json()["size"]) == (201, len(PDF))
    assert sent.status_code == 200
    assert taken(daemon) == ([PDF], ["offer.pdf"])


@pytest.mark.parametrize("first", [True, False], ids=["fields first", "file first"])
async def test_fields_beside_the_file(daemon: Daemon, first: bool) -> None:
    """They set the kind and the name, before the file or after it."""
    fields = [part("kind", b"document"), part("fileName", "Счёт.png".encode())]
    file = [part("file", png(), file_name="a.png")]
    answer = await post(daemon, form(*(fields + file if first else file + fields)))

    assert (answer.status_code, answer.json()["kind"]) == (201, "document")
    assert taken(daemon) == ([png()], ["Счёт.png"])


@pytest.mark.parametrize(
    "disposition",
    [
        (INPUTS / "multipart_dotnet.txt").read_text().strip(),
        'Content-Disposition: form-data; name="file"; filename="=?utf-8?B?0KHRh9GR0YIucGRm?="',
        'Content-Disposition: form-data; name="file"; filename="x.pdf"; filename*=UTF-8\'\'%D0%A1%D1%87%D1%91%D1%82.pdf',
        'Content-Disposition: form-data; name="file"; filename="Счёт.pdf"',
    ],
    ids=["both, as .NET", "RFC 2047", "filename*", "UTF-8"],
)
async def test_a_name_in_cyrillic(daemon: Daemon, disposition: str) -> None:
    """In each form in which clients write it."""
    body = f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + PDF + f"\r\n--{BOUNDARY}--\r\n".encode()

    assert (await post(daemon, body)).status_code == 201
    assert taken(daemon)[1] == ["Счёт.pdf"]


async def test_fields_in_the_query(daemon: Daemon) -> None:
    """As with a body that is the file."""
    answer = await post(daemon, form(part("file", png(), file_name="a.png")), kind="document", fileName="b.png")

    assert (answer.status_code, answer.json()["kind"]) == (201, "document")
    assert taken(daemon)[1] == ["b.png"]


async def test_a_form_in_pieces(tmp_path: Path) -> None:
    """However it is cut, and whatever looks like a boundary in it, the file is the same."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    data, end = b"", f"\r\n--{BOUNDARY}".encode()
    for _ in range(300):
        piece = chance.choice([b"\r\n", b"--", BOUNDARY.encode(), b"\r\n--" + BOUNDARY.encode()[:9], b"x"])
        data += b"" if end in data + piece else piece
    body = form(part("kind", b"document"), part("file", data))

    async def pieces() -> AsyncIterator[bytes]:
        rest = body
        while rest:
            cut = chance.randint(1, 40)
            yield rest[:cut]
            rest = rest[cut:]

    async with started(tmp_path, max_bytes=100_000) as daemon:
        answer = await post(daemon, pieces())
        files, _ = taken(daemon)

    assert answer.status_code == 201, answer.text
    assert files == [data]


@pytest.mark.parametrize(
    ("body", "expected", "says"),
    [
        (b"", (400, "bad_request"), "cannot be read"),
        (b"just text, no form at all, and longer than a boundary", (400, "bad_request"), "cannot be read"),
        (FILE, (400, "bad_request"), "cannot be read"),
        (bytes(66_000) + b"\r\n" + form(FILE), (400, "bad_request"), "65536 bytes beside its file"),
        (form(FILE) + bytes(66_000), (400, "bad_request"), "65536 bytes beside its file"),
        (form(part("file", b"x", more="Content-Length: 7\r\n")), (400, "bad_request"), "cannot be read"),
        (form(part("file", b"x", more=f"X-Long: {'x' * 5000}\r\n")), (400, "bad_request"), "cannot be read"),
        (form(part("file", b"x", more="X-Many: 1\r\n" * 9)), (400, "bad_request"), "cannot be read"),
        (form(), (422, "invalid_request"), "file: missing"),
        (form(part("kind", b"document")), (422, "invalid_request"), "file: missing"),
        (form(FILE, FILE), (422, "invalid_request"), "file: given twice"),
        (form(FILE, part("caption", b"x")), (422, "invalid_request"), "'caption'"),
        (form(part("kind", b"carousel"), FILE), (422, "invalid_request"), "kind: one of"),
        (form(part("fileName", b"\xff"), FILE), (422, "invalid_request"), "fileName: not UTF-8"),
        (form(part("fileName", b"a\nb"), FILE), (422, "invalid_request"), "fileName: at most"),
        (form(part("fileName", b"x" * 256), FILE), (422, "invalid_request"), "fileName: at most"),
        (form(part("fileName", b"x" * 5000), FILE), (422, "invalid_request"), "fileName: longer"),
        (form(part("file", PDF, file_name="x" * 300)), (422, "invalid_request"), "fileName: at most"),
        (form(part("file", PDF, more="Content-Transfer-Encoding: base64\r\n")), (422, "invalid_request"), "file: send it without"),
        (form(part("file", b"")), (422, "wrong_media_type"), "empty"),
        (form(part("file", bytes(8193))), (413, "media_too_large"), "8192"),
    ],
)  # fmt: skip
async def test_forms_that_are_not_taken(daemon: Daemon, body: bytes, expected: tuple[int, str], says: str) -> None:
    """Each gets a problem that says what is wrong with it, and nothing is kept."""
    answer = await post(daemon, body)

    assert problem(answer) == expected
    assert says in answer.json()["detail"]
    assert daemon.world.media == {}


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=", f"{FORM}x"])
async def test_a_form_without_its_boundary(daemon: Daemon, content_type: str) -> None:
    """It cannot be read, and is not taken for a file."""
    assert problem(await post(daemon, form(FILE), content_type)) == (400, "bad_request")


async def test_what_is_given_in_both_places_is_refused(daemon: Daemon) -> None:
    """The client does not have to guess which of them holds."""
    answer = await post(daemon, form(part("kind", b"document"), FILE), kind="image")

    assert problem(answer) == (422, "invalid_request")


async def test_a_form_without_an_end_is_refused_at_the_limit(daemon: Daemon) -> None:
    """Not after it: a file that never ends costs no more than one that is one byte too large."""
    sent = 0

    async def flood(stream: trio.SocketStream) -> None:
        nonlocal sent
        with suppress(trio.BrokenResourceError):  # the server has read enough
            while sent < 64 * 1024 * 1024:
                await stream.send_all(bytes(4096))
                sent += 4096

    async with connected(daemon) as stream, trio.open_nursery() as nursery:
        await stream.send_all(head(FORM, 2**32) + part("file", b"")[:-2])
        nursery.start_soon(flood, stream)
        answer = await read_to_end(stream)
        nursery.cancel_scope.cancel()

    assert b"413" in answer.split(b"\r\n")[0]
    assert b"media_too_large" in answer
    assert sent < 64 * 1024 * 1024
    assert daemon.world.media == {}


@pytest.mark.parametrize("content_type", [FORM, "application/pdf"])
async def test_an_upload_that_is_cut_off(daemon: Daemon, content_type: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A client that disconnects leaves no file, takes no place, and is not logged as a failure."""
    company = daemon.world.companies[COMPANY_A]
    async with connected(daemon) as stream:
        await stream.send_all(head(content_type, 5000) + FILE)
        await until(lambda: len(company.asked) > 0)  # whether it is connected: the body is next
        await stream.send_eof()
        await read_to_end(stream)
    answers = [await post(daemon, form(FILE)) for _ in range(9)]

    assert [answer.status_code for answer in answers] == [201] * 9
    assert "request_failed" not in capsys.readouterr().out
