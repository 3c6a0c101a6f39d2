"""WhatsApp addresses: who (a phone number or a LID) and which of their devices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

PN_SERVER: Final = "s.whatsapp.net"
LID_SERVER: Final = "lid"
GROUP_SERVER: Final = "g.us"
MAX_DEVICE: Final = 255


@dataclass(frozen=True, slots=True)
class Jid:
    """One address. ``device`` 0 is the phone itself, or the user as such."""

    user: str
    server: str
    device: int = 0

    def __str__(self) -> str:
        """``user:device@server``, the device left out when it is 0, the user when there is none."""
        device = f":{self.device}" if self.device else ""
        return f"{self.user}{device}@{self.server}" if self.user else self.server

    @property
    def account(self) -> Jid:
        """The same user without the device."""
        return replace(self, device=0) if self.device else self

    @property
    def is_lid(self) -> bool:
        """True for a hidden-id address."""
        return self.server == LID_SERVER

    def with_device(self, device: int) -> Jid:
        """The same user's device ``device``."""
        return replace(self, device=device)


SERVER: Final = Jid("", PN_SERVER)
"""WhatsApp itself."""


def parse_jid(text: str) -> Jid:
    """Read ``user[:device]@server`` or a bare server name; ValueError when the device is not a number of 0 to 255."""
    name, at, server = text.rpartition("@")
    if not at:
        return Jid("", server)
    user, colon, device_text = name.partition(":")
    device = int(device_text) if colon else 0
    if not 0 <= device <= MAX_DEVICE:
        raise ValueError(f"device {device} in {text!r} is not within 0..{MAX_DEVICE}")
    return Jid(user, server, device)
