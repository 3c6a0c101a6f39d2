"""Why a request to the outside was not made, or came to nothing."""

from __future__ import annotations

from typing import Final, Literal, final

Refusal = Literal["invalid_url", "address_not_allowed"]
Failure = Literal["unresolvable", "unreachable", "tls_failed", "timed_out", "protocol_error", "too_large"]


NO_USABLE_ADDRESS: Final = "the host's name leads to no address that may be connected to"
_OF_THE_NAME: Final = frozenset({"unresolvable", "address_not_allowed"})


def public_reason(reason: str) -> str:
    """The word for a caller who is not the operator: whether a name is unknown or leads inside tells what names there are inside."""
    return "unresolvable" if reason in _OF_THE_NAME else reason


class OutboundError(Exception):
    """A request to the outside that got no answer. ``reason`` is a stable word; the text holds no address and no part of a URL."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


@final
class OutboundRefused(OutboundError):
    """The request must not be made: `invalid_url`, or `address_not_allowed`. Nothing was connected to."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(reason, text)


@final
class OutboundFailed(OutboundError):
    """The request was made and got no (whole) answer."""

    def __init__(self, reason: Failure, text: str) -> None:
        super().__init__(reason, text)
