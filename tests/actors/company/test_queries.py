"""A company's queries to WhatsApp, and the files that come with messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.engine.protocol import messages as protocol
from actors.engine.protocol.contents import Location, StoredFile
from actors.messages import (
    CheckContact,
    ContactReport,
    DownloadFile,
    Event,
    GetGroup,
    ListGroups,
    MarkRead,
    Publish,
    Refused,
    SendContent,
    SetTyping,
    UploadFile,
)
from actors.storage.requests import KeepMedia
from config.sections import CompanySettings
from tests.actors.fakes import World, refuse_writes
from tests.actors.running import company

KEY = bytes(32)
FILE = StoredFile(kind="image", direct_path="/v/a", media_key=KEY, file_sha256=KEY, file_enc_sha256=KEY, size=3)
GROUP = protocol.GroupDescription("1@g.us", "Sales", "", None, False, False, ())


def answers(message: Any) -> list[protocol.Message] | None:
    """As an engine with a WhatsApp that grants everything."""
    match message:
        case protocol.CheckNumber(call, jid):
            return [protocol.NumberChecked(call, exists=True, pn=jid, lid=None)]
        case protocol.ListGroups(call) | protocol.GetGroup(call):
            return [protocol.Groups(call, (GROUP,))]
        case protocol.Upload(call):
            return [protocol.Uploaded(call, FILE)]
        case protocol.Download(call) | protocol.MarkRead(call) | protocol.SetTyping(call):
            return [protocol.Done(call=call)]
        case protocol.SendContent(call):
            return [protocol.Sent(call=call, message_id=f"3EB0{call:06X}", timestamp=1.0, position=0)]
        case _:
            return None


INQUIRIES: list[tuple[Any, Any]] = [
    (
        CheckContact("79000000002@s.whatsapp.net"),
        ContactReport(on_whatsapp=True, id="79000000002@s.whatsapp.net", lid=None),
    ),
    (ListGroups(), (GROUP,)),
    (GetGroup("1@g.us"), (GROUP,)),
    (MarkRead("2@lid", ("A1",), None), None),
    (SetTyping("2@lid", "composing"), None),
    (UploadFile("file", "image"), FILE),
    (DownloadFile(FILE, "file"), None),
]


@pytest.mark.parametrize(("request_", "expected"), INQUIRIES)
async def test_whatsapps_answer_is_passed_on(autojump_clock: MockClock, request_: Any, expected: Any) -> None:
    """For every query."""
    world = World()
    world.engine.hook = answers
    async with company(world) as running:
        await running.settle()

        assert await running.ref.ask(request_, timeout=60) == expected


async def test_a_company_that_is_not_connected_asks_nothing(autojump_clock: MockClock) -> None:
    """It is refused at once."""
    world = World()
    world.engine.jid = None
    async with company(world) as running:
        await running.settle()
        with pytest.raises(Refused) as refusal:
            await running.ref.ask(ListGroups())

    assert refusal.value.code == "no_active_session"


@pytest.mark.parametrize(
    ("engine_code", "code"),
    [
        ("not_in_group", "not_in_group"),
        ("no_such_group", "no_such_group"),
        ("upload_failed", "media_upload_failed"),
        ("media_gone", "media_gone"),
        ("download_failed", "media_download_failed"),
        ("not_connected", "reconnecting"),
        ("timeout", "timeout"),
        ("engine_error", "engine_unavailable"),
    ],
)
async def test_the_engines_refusals_have_their_codes(autojump_clock: MockClock, engine_code: str, code: str) -> None:
    """Each as the catalogue of the API names it."""
    world = World()
    world.engine.hook = lambda m: (
        [protocol.Failed(call=m.call, code=engine_code, text="why")] if isinstance(m, protocol.GetGroup) else None
    )
    async with company(world) as running:
        await running.settle()
        with pytest.raises(Refused) as refusal:
            await running.ref.ask(GetGroup("1@g.us"))

    assert refusal.value.code == code


async def test_an_engine_that_says_nothing_is_not_waited_for(autojump_clock: MockClock) -> None:
    """Neither one that hangs nor one that dies meanwhile."""
    world = World()
    async with company(world) as running:
        await running.settle()
        with pytest.raises(Refused) as late:
            await running.ref.ask(ListGroups(), timeout=60)
        async with trio.open_nursery() as nursery:
            caught: list[Refused] = []

            async def ask() -> None:
                with pytest.raises(Refused) as gone:
                    await running.ref.ask(ListGroups(), timeout=60)
                caught.append(gone.value)

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            world.engine.die()

    assert late.value.code == "timeout"
    assert caught[0].code == "engine_unavailable"


async def test_questions_under_way_are_bounded(autojump_clock: MockClock) -> None:
    """One more is refused; sends are not affected."""
    world = World(settings=CompanySettings(start_jitter_s=0.0, max_pending_inquiries=1))
    world.engine.hook = lambda m: answers(m) if isinstance(m, protocol.SendContent) else None
    async with company(world) as running:
        await running.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_in_vain, running.ref)
            await wait_all_tasks_blocked()
            with pytest.raises(Refused) as refusal:
                await running.ref.ask(SetTyping("2@lid", "paused"))
            sent = await running.ref.ask(SendContent("2@lid", "2@lid", Location(latitude=1.0, longitude=2.0)))

    assert refusal.value.code == "overloaded"
    assert sent.message_id.startswith("3EB0")


async def test_a_file_can_be_fetched_before_its_message_is_told(autojump_clock: MockClock) -> None:
    """The data to fetch it are stored first, however long that takes; applications do not see them."""
    world = World()
    arrived = protocol.MediaArrived("0a1b", "3EB0", FILE)
    async with company(world) as running:
        await running.settle()
        world.storage_hook = lambda m: refuse_writes(m) if isinstance(m, KeepMedia) else None
        world.engine.say(
            protocol.OutboxEvent(number=1, type="media", payload=msgspec.json.encode(arrived), position=0),
            protocol.OutboxEvent(number=2, type="message", payload=b'{"kind":"image"}', position=0),
        )
        await wait_all_tasks_blocked()
        told_early = _messages(world)
        world.storage_hook = lambda m: None
        await trio.sleep(2)

    kept = [message for message in world.stored if isinstance(message, KeepMedia)]
    assert told_early == []
    assert [event.payload for event in _messages(world)] == [msgspec.Raw(b'{"kind":"image"}')]
    assert (kept[-1].media[0].media_id, kept[-1].media[0].message_id) == ("0a1b", "3EB0")
    assert msgspec.json.decode(kept[-1].media[0].file, type=StoredFile) == FILE


async def test_a_message_whose_file_cannot_be_kept_is_told_all_the_same(autojump_clock: MockClock) -> None:
    """Otherwise it would hold up all later ones, for ever."""
    world = World()
    arrived = protocol.MediaArrived("0a1b", "3EB0", FILE)

    def refuse(message: Any) -> None:
        if isinstance(message, KeepMedia):
            raise Refused("storage_rejected", "what opens a file: it was changed")

    async with company(world) as running:
        await running.settle()
        world.storage_hook = refuse
        world.engine.say(
            protocol.OutboxEvent(number=1, type="media", payload=msgspec.json.encode(arrived), position=0),
            protocol.OutboxEvent(number=2, type="message", payload=b'{"kind":"image"}', position=0),
        )
        await trio.sleep(2)

    assert [event.payload for event in _messages(world)] == [msgspec.Raw(b'{"kind":"image"}')]
    assert sum(isinstance(message, KeepMedia) for message in world.stored) <= 1


def _messages(world: World) -> list[Event]:
    return [event for one in world.published if isinstance(one, Publish) for event in one.events]


async def _ask_in_vain(ref: Any) -> None:
    with pytest.raises(Refused):
        await ref.ask(ListGroups(), timeout=60)
