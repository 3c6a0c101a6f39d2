"""The commands that applications and operators give a company."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import trio

from actors.company import internal_messages as notices
from actors.company.link import EngineLink, EngineRefused, LinkLost
from actors.company.linking import Linking
from actors.company.sending import send_message
from actors.company.session import Session
from actors.company.shipping import ShippingStopped
from actors.company.states import LINKING
from actors.company.status import health_report, status_of
from actors.company.trouble import in_words
from actors.company.waiting import away
from actors.engine.protocol import messages as protocol
from actors.messages import CompanyState, Initialize, LeaseDropped, Offer, Refused, SendContent, SendText
from actors.storage.requests import ArchiveAuth, ReleaseLease
from storage.tables.leases import Lease
from supervisor import ActorRef, ReplyTo
from supervisor.errors import SupervisorError

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor
    from actors.company.ports import CompanyPorts

S = CompanyState
ARCHIVE_RETRY_S = 2.0
_WAITING = frozenset({S.RECONNECTING, S.SUSPENDED, S.CONFLICT, S.ELSEWHERE, S.BANNED, S.OUTDATED})
_WITHOUT_CREDENTIALS = LINKING | {S.UNLINKED, S.LOGGED_OUT}
STALE_ROUND_TRIP_S = 1.0


# --- sending ---


def send(actor: CompanyActor, request: SendText | SendContent) -> None:
    """Begin a send; reply when it is durable. Refuse at once when not connected or when too many sends are under way."""
    if actor.condition.state is not S.CONNECTED or actor.session is None:
        raise away(actor)
    if actor.sends_in_flight >= actor.ports.settings.max_pending_sends:
        raise Refused("too_many_sends", "too many messages of this company are on their way", retry_after_s=1.0)
    actor.sends_in_flight += 1
    actor.context.spawn(_send, actor, actor.session, request, actor.context.defer(), name="send")


async def _send(actor: CompanyActor, session: Session, request: SendText | SendContent, reply: ReplyTo[Any]) -> None:
    began = trio.current_time()
    try:
        sent = await send_message(session, request, actor.ports)
    except Refused as refused:
        actor.ports.metrics.error(refused.code, actor.company_id)
        reply.fail(refused)
    else:
        actor.ports.metrics.message_sent(actor.company_id, trio.current_time() - began)
        actor.evidence.commit()
        reply.reply(sent)
    finally:
        actor.sends_in_flight -= 1


# --- health ---


def check_health(actor: CompanyActor) -> None:
    """Reply with the result of a real round trip to WhatsApp, at most one a second."""
    actor.context.spawn(_check_health, actor, actor.context.defer(), name="ping")


async def _check_health(actor: CompanyActor, reply: ReplyTo[Any]) -> None:
    ages = actor.evidence.ages()
    fresh = ages.round_trip_age_s is not None and ages.round_trip_age_s < STALE_ROUND_TRIP_S
    answered = fresh or await _ping(actor)
    reply.reply(health_report(actor, round_trip=answered))


async def _ping(actor: CompanyActor) -> bool:
    link = actor.session.link if actor.session is not None else None
    if link is None or actor.condition.state is not S.CONNECTED:
        return False
    began = trio.current_time()
    try:
        await link.call(lambda call: protocol.Ping(call=call), timeout_s=actor.ports.settings.ping_timeout_s)
    except (EngineRefused, LinkLost):
        return False
    actor.evidence.round_trip(trio.current_time() - began)
    return True


# --- linking ---


async def initialize(actor: CompanyActor, request: Initialize) -> None:
    """Offer a QR code or a pairing code; reply with the first offer. A new request replaces an attempt of another kind."""
    if actor.archiving is not None:
        raise Refused("pairing_failed", "the old identity is being archived", retry_after_s=ARCHIVE_RETRY_S)
    if actor.phone_number is not None:
        raise Refused("already_linked", "the company is linked already; log it out first")
    wanted = request.phone if request.method == "code" else None
    if actor.linking is None or actor.linking.phone != wanted or actor.linking.passkey is not None:
        await _begin_linking(actor, wanted)
    assert actor.linking is not None
    actor.linking.wait(actor.context.defer())


async def _begin_linking(actor: CompanyActor, phone: str | None) -> None:
    if actor.linking is not None:
        actor.linking.fail(Refused("pairing_failed", "another way of linking was asked for"))
    linking = actor.linking = Linking(actor.company_id, phone, actor.ports.wall_clock)
    actor.phone_number = actor.lid = None
    if actor.session is None:
        actor.bring_up("taking up the session to link it", discard=actor.condition.state is S.LOGGED_OUT)
    elif actor.condition.state in LINKING:
        await actor.close_session(drain=False, keep_lease=True)
        actor.bring_up("beginning again")
    elif actor.condition.state is not S.CONNECTING:
        offer(actor)
    actor.linking = linking


def offer(actor: CompanyActor) -> None:
    """Have WhatsApp offer codes; the device file is open and not linked."""
    assert actor.session is not None
    actor.enter(S.PAIRING, "waiting for the phone")
    actor.set_deadline(actor.ports.settings.pairing_timeout_s)
    actor.context.spawn(actor.session.connect, name="connect")


def show_qr(actor: CompanyActor, shown: protocol.Qr) -> None:
    """Show the QR code that WhatsApp gave, or ask for a pairing code instead."""
    linking, session = actor.linking, actor.session
    if linking is None or session is None:
        return
    if linking.phone is None:
        linking.show_qr(shown.codes[0], shown.valid_s)
        actor.ports.metrics.qr_generated(actor.company_id)
        actor.announcer.announce("qr", qr=shown.codes[0], validS=shown.valid_s)
    elif not linking.code_requested:
        linking.code_requested = True
        actor.context.spawn(_request_code, actor, session, linking, linking.phone, name="pairing-code")


async def _request_code(actor: CompanyActor, session: Session, linking: Linking, phone: str) -> None:
    try:
        assert session.link is not None
        answer = await session.link.call(
            lambda call: protocol.RequestPairingCode(call=call, phone=phone),
            timeout_s=actor.ports.settings.connect_timeout_s,
        )
    except (EngineRefused, LinkLost) as error:
        linking.fail(Refused("pairing_failed", f"WhatsApp gave no pairing code: {in_words(str(error))}"))
        return
    assert isinstance(answer, protocol.PairingCode)
    linking.show_code(answer.code)
    actor.announcer.announce("pairing_code", pairingCode=answer.code)


def current_offer(actor: CompanyActor) -> Offer:
    """Return the code that is valid now."""
    found = actor.linking.offer() if actor.linking is not None else None
    if found is None or found.qr is None:
        raise Refused("no_qr", "no QR code is on offer; initialize the company first")
    return found


async def announce_pairing(session: Session, position: int, actor: ActorRef) -> None:
    """Tell the actor once the new device's credentials are committed."""
    assert session.shipment is not None
    try:
        await session.shipment.wait_committed(position)
    except ShippingStopped:
        return  # the session ended; the actor hears of that separately
    await actor.send(notices.PairingDurable(session.number))


# --- start, stop, log out ---


async def start(actor: CompanyActor) -> Any:
    """Open the session unless it is up already; a company that waits or rests tries again now."""
    if actor.session is None or actor.condition.state in _WAITING:
        await actor.try_again("started by an operator")
    return status_of(actor)


async def stop(actor: CompanyActor, *, give_back: bool = True) -> None:
    """Leave WhatsApp and keep the link; without ``give_back``, keep the lease as well."""
    await actor.close_session(drain=True, give_back=give_back)
    if actor.condition.state is not S.STOPPED:
        actor.enter(S.STOPPED, "stopped by an operator")


async def release(lease: Lease, ports: CompanyPorts, *, give_back: bool) -> None:
    """Stop renewing the lease, and give it back if wanted; bounded. If storage is away the lease runs out by itself."""
    with contextlib.suppress(SupervisorError):  # at shutdown the directory is gone before the companies
        ports.directory.tell(LeaseDropped(lease.company_id))
    if not give_back:
        return
    try:
        await ports.storage.ask(ReleaseLease(lease.company_id, lease.epoch), timeout=ports.settings.stop_timeout_s)
    except (SupervisorError, Refused):
        return


def log_out(actor: CompanyActor) -> None:
    """Unlink at WhatsApp, archive the credentials, and reply with the new status.

    Refuse with `not_linked` only when there is certainly nothing to unlink: a stopped or reconnecting company may be linked.
    """
    if actor.condition.state in _WITHOUT_CREDENTIALS:
        raise Refused("not_linked", "the company is not linked")
    if actor.phone_number is None or actor.session is None or actor.session.link is None:
        raise away(actor)
    actor.context.spawn(_log_out, actor, actor.session.link, actor.context.defer(), name="logout")


async def _log_out(actor: CompanyActor, link: EngineLink, reply: ReplyTo[Any]) -> None:
    timeout_s = actor.ports.settings.logout_timeout_s
    try:
        await link.call(lambda call: protocol.Logout(call=call), timeout_s=timeout_s)
    except (EngineRefused, LinkLost) as error:
        reply.fail(Refused("logout_failed", f"WhatsApp did not confirm the logout: {error}", retry_after_s=5.0))
    else:
        await actor.context.ref.send(notices.LoggedOut(reply))


def forget_identity(actor: CompanyActor, reason: str, reply: ReplyTo[Any] | None = None) -> None:
    """Archive the identity, which is not linked any more, and rest until an operator initializes anew."""
    if actor.archiving is None:
        actor.archiving = []
        actor.enter(S.LOGGED_OUT, reason)
        actor.context.spawn(_archive, actor, actor.session, reason, name="archive")
    if reply is not None:
        actor.archiving.append(reply)


async def _archive(actor: CompanyActor, session: Session | None, reason: str) -> None:
    """Commit what the engine has shipped (bounded), then archive the identity, retrying for as long as Postgres is away."""
    if session is not None and session.shipment is not None:
        with trio.move_on_after(actor.ports.storage_timeout_s), contextlib.suppress(ShippingStopped):
            await session.shipment.wait_all_committed()
    epoch = session.lease.epoch if session is not None and session.lease is not None else None
    while not await _archived(actor, ArchiveAuth(actor.company_id, reason, epoch)):
        await trio.sleep(ARCHIVE_RETRY_S)
    await actor.context.ref.send(notices.IdentityArchived())


async def _archived(actor: CompanyActor, request: ArchiveAuth) -> bool:
    try:
        await actor.ports.storage.ask(request, timeout=actor.ports.storage_timeout_s)
    except Refused as refused:
        return refused.code in ("lease_lost", "owned_elsewhere")  # the identity is another daemon's to keep or archive
    except SupervisorError:
        return False
    return True


async def identity_archived(actor: CompanyActor) -> None:
    """End the session, since no identity is left, and reply to the waiting callers."""
    waiting, actor.archiving = actor.archiving or [], None
    actor.phone_number = actor.lid = None
    await actor.close_session(drain=False)
    for reply in waiting:
        reply.reply(status_of(actor))
