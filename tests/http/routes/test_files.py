"""Files through the API: uploads, files by URL, and fetching what came with messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import messages as m
from actors.engine.protocol import contents as c
from actors.http.services.transfers import KnownFile
from actors.media.spool import Spool
from actors.messages import CompanyState
from config.sections import MediaSettings, OutboundSettings
from tests.http.fakes import NOW
from tests.http.routes.test_sessions import problem
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon, running, until
from tests.outbound.receiver import LOOPBACK, Received, listening
from tests.support.recordings import FRAGMENTED, picture, recording
from tests.support.samples import HTML, PDF, mp4, ogg, opus, png, webp

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
MEDIA = f"/api/whatsapp/sessions/{COMPANY_A}/media"
TO = "+79000000002"
INPUTS = Path(__file__).parents[2] / "inputs"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncGenerator[Daemon]:
    """A daemon that takes small files, and URLs of this machine."""
    async with started(tmp_path) as daemon:
        yield daemon


@asynccontextmanager
async def started(tmp_path: Path, **media: Any) -> AsyncGenerator[Daemon]:
    """A daemon whose files lie in the test's directory."""
    outbound = OutboundSettings(allow_http=True, allowed_networks=LOOPBACK)
    settings = MediaSettings(**{"max_bytes": 8192, **media})
    async with running(state_dir=tmp_path, outbound=outbound, media=settings) as daemon:
        yield daemon
        assert list((tmp_path / "media").glob("*")) == [], "files are left"


async def upload(daemon: Daemon, data: bytes, **query: str) -> dict[str, Any]:
    """Upload a file, and check that it is accepted."""
    answer = await daemon.client.post(MEDIA, content=data, params=query)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sent(daemon: Daemon) -> c.Media:
    """The message with a file that was sent last."""
    content = daemon.world.companies[COMPANY_A].contents[-1].content
    assert isinstance(content, c.Media)
    return content


@pytest.mark.parametrize(
    ("data", "mimetype", "kind"),
    [
        (png(), "image/png", "image"),
        (mp4(), "video/mp4", "video"),
        (opus(), "audio/ogg", "audio"),
        (PDF, "application/pdf", "document"),
    ],
)
async def test_an_upload_is_passed_on_to_whatsapp(daemon: Daemon, data: bytes, mimetype: str, kind: str) -> None:
    """Its kind follows from its content, it is sent as that kind by default, and it has an id to be sent by."""
    answer = await upload(daemon, data)
    message = await daemon.client.post(SEND, json={"phone": TO, kind: {"mediaId": answer["mediaId"]}})

    assert answer == {
        "success": True,
        "companyId": COMPANY_A,
        "mediaId": answer["mediaId"],
        "kind": kind,
        "mimetype": mimetype,
        "size": len(data),
        "expiresAt": answer["expiresAt"],
    }
    assert message.status_code == 200
    assert (sent(daemon).file.mimetype, sent(daemon).file.size) == (mimetype, len(data))
    assert list(daemon.world.companies[COMPANY_A].files.values()) == [data]


async def test_one_upload_many_sends(daemon: Daemon) -> None:
    """With another caption and name each time; WhatsApp gets the file once."""
    media_id = (await upload(daemon, PDF, fileName="offer.pdf"))["mediaId"]
    for more in ({}, {"fileName": "Offer 2.pdf", "caption": "new"}):
        assert (
            await daemon.client.post(SEND, json={"phone": TO, "document": {"mediaId": media_id, **more}})
        ).is_success

    names = [
        one.content.file.file_name
        for one in daemon.world.companies[COMPANY_A].contents
        if isinstance(one.content, c.Media)
    ]
    assert names == ["offer.pdf", "Offer 2.pdf"]
    assert sent(daemon).caption == "new"
    assert sum(isinstance(asked, m.UploadFile) for asked in daemon.world.companies[COMPANY_A].asked) == 1


async def test_a_voice_note(daemon: Daemon) -> None:
    """The message has its length and its codec."""
    media_id = (await upload(daemon, opus()))["mediaId"]
    answer = await daemon.client.post(SEND, json={"phone": TO, "audio": {"mediaId": media_id, "voice": True}})

    assert answer.status_code == 200
    assert (sent(daemon).voice, sent(daemon).file.mimetype, sent(daemon).file.seconds) == (
        True,
        "audio/ogg; codecs=opus",
        3,
    )


async def test_what_a_browser_records_is_a_voice_note(tmp_path: Path) -> None:
    """MP4 without pictures is audio, and one that phones play as a voice note."""
    async with started(tmp_path, max_bytes=100_000) as daemon:
        answer = await upload(daemon, recording("mp4", "aac", options=FRAGMENTED))
        body = {"phone": TO, "audio": {"mediaId": answer["mediaId"], "voice": True}}
        assert (await daemon.client.post(SEND, json=body)).status_code == 200

        assert (answer["kind"], answer["mimetype"]) == ("audio", "audio/mp4")
        assert (sent(daemon).voice, sent(daemon).file.seconds) == (True, 2)


async def test_vorbis_is_no_voice_note(daemon: Daemon) -> None:
    """It is audio in the container of voice notes, but does not play as one."""
    media_id = (await upload(daemon, ogg("vorbis")))["mediaId"]
    plain = await daemon.client.post(SEND, json={"phone": TO, "audio": {"mediaId": media_id}})
    voice = await daemon.client.post(SEND, json={"phone": TO, "audio": {"mediaId": media_id, "voice": True}})

    assert plain.status_code == 200
    assert problem(voice) == (422, "wrong_media_type")
    assert "vorbis" in voice.json()["detail"]


async def test_a_picture_is_described(daemon: Daemon) -> None:
    """Its size and a small one of it go with the message."""
    media_id = (await upload(daemon, picture(400, 200)))["mediaId"]
    await daemon.client.post(SEND, json={"phone": TO, "image": {"mediaId": media_id}})

    assert (sent(daemon).file.width, sent(daemon).file.height) == (400, 200)
    assert sent(daemon).file.thumbnail.startswith(b"\xff\xd8")


async def test_a_moving_sticker_is_marked(daemon: Daemon) -> None:
    """Phones play it only then."""
    media_id = (await upload(daemon, (INPUTS / "animated.webp").read_bytes(), kind="sticker"))["mediaId"]
    await daemon.client.post(SEND, json={"phone": TO, "sticker": {"mediaId": media_id}})

    assert sent(daemon).file.animated


@pytest.mark.parametrize(
    ("name", "mimetype"),
    [
        ("python-docx.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("app.apk", "application/vnd.android.package-archive"),
    ],
)
async def test_a_documents_name_says_what_its_bytes_do_not(tmp_path: Path, name: str, mimetype: str) -> None:
    """By its bytes it is an archive."""
    async with started(tmp_path, max_bytes=100_000) as daemon:
        answer = await upload(daemon, (INPUTS / name).read_bytes(), fileName=name)

    assert (answer["kind"], answer["mimetype"]) == ("document", mimetype)


@pytest.mark.parametrize(
    ("path", "header", "name"),
    [
        ("/files/offer.pdf", None, "offer.pdf"),
        ("/get?id=1", "attachment; filename=\"x.pdf\"; filename*=UTF-8''%D0%A1%D1%87%D1%91%D1%82.pdf", "Счёт.pdf"),
        ("/", None, "file.pdf"),
    ],
)
async def test_a_document_by_url_has_a_name(daemon: Daemon, path: str, header: str | None, name: str) -> None:
    """The server's name for it, else the URL's; at least its ending."""

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        return 200, {} if header is None else {"content-disposition": header}, PDF

    async with listening(answer) as host:
        document = {"url": f"http://127.0.0.1:{host.port}{path}"}
        done = await daemon.client.post(SEND, json={"phone": TO, "document": document})

    assert done.status_code == 200, done.text
    assert sent(daemon).file.file_name == name


async def test_only_opus_is_a_voice_note(daemon: Daemon) -> None:
    """Other audio is refused."""
    mp3 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + b"\xff\xfb\x90\0" + bytes(413)
    media_id = (await upload(daemon, mp3))["mediaId"]
    answer = await daemon.client.post(SEND, json={"phone": TO, "audio": {"mediaId": media_id, "voice": True}})

    assert problem(answer) == (422, "wrong_media_type")


async def test_a_file_by_url(daemon: Daemon) -> None:
    """Fetched once for a send, recognised by its content."""

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        return 200, {"content-type": "text/plain"}, webp()

    async with listening(answer) as host:
        url = f"http://127.0.0.1:{host.port}/s.webp"
        done = await daemon.client.post(SEND, json={"phone": TO, "sticker": {"url": url}})

    assert done.status_code == 200
    assert (sent(daemon).file.kind, sent(daemon).file.mimetype) == ("sticker", "image/webp")
    assert [request.target for request in host.received] == ["/s.webp"]


async def test_a_repeat_fetches_nothing(daemon: Daemon) -> None:
    """Under the same key the first answer comes back, without the URL."""

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, png()

    async with listening(answer) as host:
        body = {"phone": TO, "image": {"url": f"http://127.0.0.1:{host.port}/"}}
        answers = [await daemon.client.post(SEND, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert len(host.received) == 1


@pytest.mark.parametrize(
    ("status", "data", "expected"),
    [
        (404, b"no", (502, "url_failed")),
        (302, b"", (502, "url_failed")),
        (200, bytes(8193), (413, "media_too_large")),
        (200, b"", (422, "wrong_media_type")),
        (200, HTML, (422, "wrong_media_type")),
    ],
)
async def test_what_a_url_answers_is_not_always_a_file(
    daemon: Daemon, status: int, data: bytes, expected: tuple[int, str]
) -> None:
    """Each has its code, nothing is sent, and WhatsApp gets nothing."""

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        return status, {"location": "/elsewhere"}, data

    async with listening(answer) as host:
        body = {"phone": TO, "image": {"url": f"http://127.0.0.1:{host.port}/"}}
        refused = await daemon.client.post(SEND, json=body)

    assert problem(refused) == expected
    assert daemon.world.companies[COMPANY_A].contents == []
    assert daemon.world.companies[COMPANY_A].files == {}


@pytest.mark.parametrize("url", ["ftp://example.com/a", "http://169.254.169.254/latest", "http://10.0.0.1/", "x"])
async def test_urls_that_must_not_be_fetched(daemon: Daemon, url: str) -> None:
    """Internal addresses and other protocols."""
    refused = await daemon.client.post(SEND, json={"phone": TO, "image": {"url": url}})

    assert problem(refused) == (422, "url_refused")


async def test_uploads_that_are_not_taken(daemon: Daemon) -> None:
    """Empty files, too large ones, and files that cannot be sent as the requested kind."""
    answers = [
        await daemon.client.post(MEDIA, content=b""),
        await daemon.client.post(MEDIA, content=bytes(8193)),
        await daemon.client.post(MEDIA, content=HTML, params={"kind": "image"}),
        await daemon.client.post(MEDIA, content=png(), params={"kind": "carousel"}),
        await daemon.client.post(MEDIA, content=png(), params={"fileName": "a\nb"}),
    ]

    assert [problem(answer) for answer in answers] == [
        (422, "wrong_media_type"),
        (413, "media_too_large"),
        (422, "wrong_media_type"),
        (422, "invalid_request"),
        (422, "invalid_request"),
    ]
    assert daemon.world.media == {}


async def test_a_large_sticker_is_refused(tmp_path: Path) -> None:
    """Phones would not show it."""
    async with started(tmp_path, max_bytes=1024 * 1024) as daemon:
        large = webp() + bytes(500 * 1024)
        answer = await daemon.client.post(MEDIA, content=large, params={"kind": "sticker"})

    assert problem(answer) == (413, "media_too_large")


async def test_a_slow_upload_is_given_up(tmp_path: Path) -> None:
    """A client that sends slowly does not hold a place for ever."""

    async def trickle() -> AsyncIterator[bytes]:
        yield b"x"
        await trio.sleep(5)
        yield b"y"

    async with started(tmp_path, transfer_timeout_s=0.3) as daemon:
        answer = await daemon.client.post(MEDIA, content=trickle())

    assert problem(answer) == (408, "request_timeout")


async def test_files_on_their_way_are_bounded(tmp_path: Path) -> None:
    """One more is refused at once; when one is done, the next is accepted."""
    async with started(tmp_path, max_transfers=1) as daemon:
        is_busy, go_on = trio.Event(), trio.Event()

        async def hold(message: Any) -> None:
            if isinstance(message, m.UploadFile):
                is_busy.set()
                await go_on.wait()

        daemon.world.companies[COMPANY_A].on_ask = hold
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload, daemon, png())
            await is_busy.wait()
            second = await daemon.client.post(MEDIA.replace(COMPANY_A, COMPANY_B), content=png())
            go_on.set()
        await upload(daemon, png())

    assert problem(second) == (429, "too_many_transfers")
    assert "retry-after" in second.headers


async def test_an_id_is_of_one_company_and_one_kind(daemon: Daemon) -> None:
    """Neither another's file nor another kind of it can be sent."""
    media_id = (await upload(daemon, png()))["mediaId"]
    other = f"/api/whatsapp/sessions/{COMPANY_B}/send"
    answers = [
        await daemon.client.post(SEND, json={"phone": TO, "document": {"mediaId": media_id}}),
        await daemon.client.post(SEND, json={"phone": TO, "image": {"mediaId": "0123"}}),
        await daemon.client.post(other, json={"phone": TO, "image": {"mediaId": media_id}}),
    ]

    assert [problem(answer) for answer in answers] == [
        (422, "wrong_media_type"),
        (404, "no_such_media"),
        (404, "no_such_media"),
    ]


async def test_a_company_that_is_not_connected_takes_no_file(daemon: Daemon) -> None:
    """Neither to send nor to fetch."""
    media_id = (await upload(daemon, png()))["mediaId"]
    daemon.world.companies[COMPANY_A].state = CompanyState.RECONNECTING

    assert problem(await daemon.client.post(MEDIA, content=png())) == (503, "reconnecting")
    assert problem(await daemon.client.get(f"{MEDIA}/{media_id}")) == (503, "reconnecting")


async def test_whatsapp_does_not_take_a_file(daemon: Daemon) -> None:
    """Its refusal is reported, and may be tried again."""

    async def refuse(message: Any) -> None:
        if isinstance(message, m.UploadFile):
            raise m.Refused("media_upload_failed", "upload failed with status code 507")

    daemon.world.companies[COMPANY_A].on_ask = refuse

    answer = await daemon.client.post(MEDIA, content=png())
    assert problem(answer) == (502, "media_upload_failed")
    assert answer.json()["retryable"] is True


# --- fetching ---------------------------------------------------------------------------------------------------------


def arrived(daemon: Daemon, data: bytes, **changes: Any) -> str:
    """A file that came with a message."""
    values = {"kind": "image", "mimetype": "image/png", "size": len(data), **changes}
    key = bytes(32)
    file = c.StoredFile(direct_path="/v/in", media_key=key, file_sha256=key, file_enc_sha256=key, **values)
    daemon.world.media[COMPANY_A, "0a1b"] = KnownFile("0a1b", file, NOW)
    daemon.world.companies[COMPANY_A].files["/v/in"] = data
    return f"{MEDIA}/0a1b"


async def test_a_file_that_came_is_fetched(daemon: Daemon) -> None:
    """Byte for byte, as a download, with a key for the company."""
    url = arrived(daemon, png(), file_name='a"b\n.png')
    async with daemon.client_with(A_KEY) as client:
        answer = await client.get(url)
    async with daemon.client_with(None) as client:
        stranger = await client.get(url)

    assert (answer.status_code, answer.content) == (200, png())
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(png()))
    assert answer.headers["content-disposition"] == 'attachment; filename="a_b_.png"'
    assert stranger.status_code == 401


async def test_a_download_keeps_a_name_in_cyrillic(daemon: Daemon) -> None:
    """In full, beside what every client reads."""
    answer = await daemon.client.get(arrived(daemon, PDF, mimetype="application/pdf", file_name="Счёт 5.pdf"))

    assert answer.headers["content-disposition"].endswith("filename*=UTF-8''%D0%A1%D1%87%D1%91%D1%82%205.pdf")


@pytest.mark.parametrize("mimetype", ["text/html", "image/svg+xml", "x\r\nSet-Cookie: a", "image/png\r\nX: y", ""])
async def test_what_a_sender_calls_its_file_is_not_believed(daemon: Daemon, mimetype: str) -> None:
    """A browser does not render a stranger's page from this address."""
    answer = await daemon.client.get(arrived(daemon, HTML, mimetype=mimetype))

    assert answer.headers["content-type"] in {"application/octet-stream", "image/png"}
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("said", "is_in_fact"), [(8193, 10), (10, 8193)])
async def test_a_file_that_is_too_large_is_not_fetched(daemon: Daemon, said: int, is_in_fact: int) -> None:
    """Neither when its sender states the size, nor when it shows during the download."""
    answer = await daemon.client.get(arrived(daemon, bytes(is_in_fact), size=said))

    assert problem(answer) == (413, "media_too_large")


@pytest.mark.parametrize(
    ("code", "status"), [("media_gone", 410), ("media_download_failed", 502), ("timeout", 504), ("overloaded", 503)]
)
async def test_whatsapp_does_not_give_a_file(daemon: Daemon, code: str, status: int) -> None:
    """Each reason has its code."""

    async def refuse(message: Any) -> None:
        if isinstance(message, m.DownloadFile):
            raise m.Refused(code, "as WhatsApp says")

    url = arrived(daemon, png())
    daemon.world.companies[COMPANY_A].on_ask = refuse

    assert problem(await daemon.client.get(url)) == (status, code)


@pytest.mark.parametrize("media_id", ["0a1c", "..", "a%2fb", "A", "0" * 65])
async def test_ids_of_nothing(daemon: Daemon, media_id: str) -> None:
    """Unknown ids, and texts that can be no id."""
    arrived(daemon, png())

    answer = await daemon.client.get(f"{MEDIA}/{media_id}")
    assert answer.status_code in {404, 405}


async def test_storage_that_is_away_is_told(daemon: Daemon) -> None:
    """Then the meaning of the id cannot be found out."""
    url = arrived(daemon, png())
    async with daemon.client_with(A_KEY) as client:
        assert (await client.get(url)).status_code == 200
        daemon.world.storage_is_away = True
        answer = await client.get(url)

    assert problem(answer) == (503, "storage_unavailable")


async def test_no_file_is_taken_without_room(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """507, to be repeated later: neither the file's fault nor an internal error."""

    async def full(self: Spool) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "new", full)
    answer = await daemon.client.post(MEDIA, content=PDF)

    assert problem(answer) == (507, "storage_full")
    assert answer.json()["retryable"] is True
    assert answer.headers["retry-after"] == "5"


async def test_a_file_that_was_handed_out_is_in_the_audit_log(daemon: Daemon) -> None:
    """Which file of which company, to which key. A file that was not handed out is not."""
    media_id = arrived(daemon, PDF, mimetype="application/pdf", file_name="a.pdf").rpartition("/")[2]
    assert (await daemon.client.get(f"{MEDIA}/{media_id}")).status_code == 200
    assert (await daemon.client.get(f"{MEDIA}/{'0' * 32}")).status_code == 404
    await until(lambda: any(entry.action == "media_read" for entry in daemon.world.audit))

    reads = [(entry.target, entry.key_id) for entry in daemon.world.audit if entry.action == "media_read"]
    assert reads == [(f"{COMPANY_A} {media_id}", "admin000")]
