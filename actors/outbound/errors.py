"""Why a request to the outside was not made, or failed."""

from __future__ import annotations

from typing import Final, Literal, final

Refusal = Literal["invalid_url", "address_not_allowed"]
Failure = Literal["unresolvable", "unreachable", "tls_failed", "timed_out", "protocol_error", "too_large"]


NO_USABLE_ADDRESS: Final = "the host's name leads to no address that may be connected to"
_OF_THE_NAME: Final = frozenset({"unresolvable", "address_not_allowed"})


def public_reason(reason: str) -> str:
    """Return the reason for a caller that is not the operator. It does not reveal whether a name is unknown or internal."""
    return "unresolvable" if reason in _OF_THE_NAME else reason


class OutboundError(Exception):
    """A request to the outside got no response. ``reason`` is a stable word; the text has no address and no part of a URL."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


@final
class OutboundRefused(OutboundError):
    """The request must not be made: `invalid_url`, or `address_not_allowed`. No connection was made."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(reason, text)


@final
class OutboundFailed(OutboundError):
    """The request was made and got no response, or not a whole one."""

    def __init__(self, reason: Failure, text: str) -> None:
        super().__init__(reason, text)
