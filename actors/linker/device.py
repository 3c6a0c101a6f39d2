"""The device that is being linked: its keys, its description, and the record that is stored of it."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, replace
from hashlib import md5
from typing import Any, Final

from actors.linker.wire.jid import Jid
from actors.linker.wire.keys import DJB_TYPE, KeyPair
from actors.linker.wire.messages import Messages
from storage.whatsmeow.creds import SqlValue, creds_from_device
from storage.whatsmeow.rows import KINDS, LID_MAPPING, REVERSE, encode_lid, encode_value, key_id

DEFAULT_VERSION: Final = "2.3000.1047769893"
"""The version that neonize 0.5.2 announces; tests/linker compares them."""
QR_URL: Final = "https://wa.me/settings/linked_devices#"
CHROME: Final = "1"
"""The kind of client in a QR code."""
SIGNED_PRE_KEY_ID: Final = 1
ADV_SECRET_SIZE: Final = 32
_DEVICE_VERSION: Final = (0, 1, 0)
_SUPPORTED: Final = (
    "supportCallLogHistory", "supportBotUserAgentChatHistory", "supportCagReactionsAndPolls", "supportBizHostedMsg",
    "supportRecentSyncChunkMessageCountTuning", "supportHostedGroupMsg", "supportFbidBotChatHistory", "supportMessageAssociation",
    "supportGroupHistory", "supportManusHistory", "supportHatchHistory",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewDevice:
    """The keys of a device that no account has accepted yet."""

    noise: KeyPair
    identity: KeyPair
    signed_pre_key: KeyPair
    signature: bytes
    """The identity key's signature over the signed pre-key."""
    registration_id: int
    adv_secret: bytes
    """Shared with the phone by the QR code or by agreement; authenticates the phone's acceptance."""

    def with_secret(self, adv_secret: bytes) -> NewDevice:
        """Return the same device, to be accepted under another secret."""
        return replace(self, adv_secret=adv_secret)

    def qr(self, ref: bytes) -> str:
        """Return the text of a QR code for the server's reference ``ref``."""
        keys = (self.noise.public, self.identity.public, self.adv_secret)
        parts = [ref.decode("ascii", "replace"), *(base64.b64encode(key).decode() for key in keys), CHROME]
        return QR_URL + ",".join(parts)


def new_device() -> NewDevice:
    """Return a device with new keys."""
    identity, signed_pre_key = KeyPair.generate(), KeyPair.generate()
    return NewDevice(
        noise=KeyPair.generate(),
        identity=identity,
        signed_pre_key=signed_pre_key,
        signature=identity.sign(DJB_TYPE + signed_pre_key.public),
        registration_id=secrets.randbits(32),
        adv_secret=secrets.token_bytes(ADV_SECRET_SIZE),
    )


def registration_payload(device: NewDevice, name: str, version: str, messages: Messages) -> bytes:
    """Return the ``ClientPayload`` with which an unlinked device registers; ``name`` is its name in the phone's list, ``version`` that
    of WhatsApp Web."""
    payload = messages.handshake.ClientPayload()
    _describe(payload, version, messages)
    data = payload.devicePairingData
    data.eRegid = device.registration_id.to_bytes(4, "big")
    data.eKeytype = DJB_TYPE
    data.eIdent = device.identity.public
    data.eSkeyID = SIGNED_PRE_KEY_ID.to_bytes(3, "big")
    data.eSkeyVal = device.signed_pre_key.public
    data.eSkeySig = device.signature
    data.buildHash = md5(version.encode(), usedforsecurity=False).digest()
    data.deviceProps = device_properties(name, messages).SerializeToString()
    payload.passive = payload.pull = False
    return bytes(payload.SerializeToString())


def _describe(payload: Any, version: str, messages: Messages) -> None:
    kinds = messages.handshake.ClientPayload
    agent = payload.userAgent
    agent.platform = kinds.UserAgent.WEB
    agent.releaseChannel = kinds.UserAgent.RELEASE
    agent.appVersion.primary, agent.appVersion.secondary, agent.appVersion.tertiary = map(int, version.split("."))
    agent.mcc = agent.mnc = "000"
    agent.osVersion = agent.osBuildNumber = "0.1"
    agent.manufacturer = ""
    agent.device = "Desktop"
    agent.localeLanguageIso6391, agent.localeCountryIso31661Alpha2 = "en", "US"
    payload.webInfo.webSubPlatform = kinds.WebInfo.WEB_BROWSER
    payload.connectType = kinds.WIFI_UNKNOWN
    payload.connectReason = kinds.USER_ACTIVATED


def device_properties(name: str, messages: Messages) -> Any:
    """Return ``DeviceProps``: what the phone shows of the device, and which history the device is offered."""
    properties = messages.registration.DeviceProps(
        os=name, platformType=messages.registration.DeviceProps.CHROME, requireFullSync=False
    )
    version = properties.version
    version.primary, version.secondary, version.tertiary = _DEVICE_VERSION
    history = properties.historySyncConfig
    history.storageQuotaMb = 10240
    history.inlineInitialPayloadInE2EeMsg = True
    history.thumbnailSyncDaysLimit = 60
    for name_ in _SUPPORTED:
        setattr(history, name_, True)
    return properties


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the phone and the server assigned to the device."""

    jid: Jid
    lid: Jid
    platform: str
    business_name: str
    details: bytes
    account_key: bytes
    account_signature: bytes
    device_signature: bytes


def creds_of(device: NewDevice, accepted: Acceptance) -> bytes:
    """Return the creds (JSON) of an accepted device, as its device file would give them."""
    row: dict[str, SqlValue] = {
        "jid": str(accepted.jid),
        "lid": str(accepted.lid),
        "facebook_uuid": None,
        "registration_id": device.registration_id,
        "noise_key": device.noise.private,
        "identity_key": device.identity.private,
        "signed_pre_key": device.signed_pre_key.private,
        "signed_pre_key_id": SIGNED_PRE_KEY_ID,
        "signed_pre_key_sig": device.signature,
        "adv_key": device.adv_secret,
        "adv_details": accepted.details,
        "adv_account_sig": accepted.account_signature,
        "adv_account_sig_key": accepted.account_key,
        "adv_device_sig": accepted.device_signature,
        "platform": accepted.platform,
        "business_name": accepted.business_name,
        "push_name": "",
        "lid_migration_ts": 0,
        "companion_meta_nonce": "",
    }
    return creds_from_device(row)


def keys_of(accepted: Acceptance) -> list[tuple[str, str, bytes]]:
    """Return (type, id, value) of the keys of the own account: the phone's identity, and the mapping between number and LID."""
    identity = KINDS["identity-key"]
    address = f"{accepted.lid.user}_1:0"
    pn, lid = accepted.jid.user, accepted.lid.user
    return [
        (identity.key_type, key_id(identity, (address,)), encode_value(identity, (accepted.account_key,))),
        (LID_MAPPING, pn, encode_lid(lid)),
        (LID_MAPPING, lid + REVERSE, encode_lid(pn)),
    ]
