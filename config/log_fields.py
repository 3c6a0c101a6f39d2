"""The fields that a log line may have. A field that is not listed is not logged; add a new one to the list of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final


class Kind(Enum):
    """How a field's text is treated. Numbers, booleans and None pass as they are in every kind."""

    NAME = auto()
    """One of our own names (company, actor, file): made printable, never shortened, so that it can be searched for."""
    TEXT = auto()
    """Any other text: phone numbers, chat identifiers and long tokens are shortened."""

    ERROR = auto()
    """The text of an exception, perhaps a library's: like TEXT, but only the first line, without quoted parts."""

    TRACE = auto()
    """A formatted traceback: only the position of each frame is kept, not the exceptions' texts."""

    NUMBER = auto()
    """A number; text in its place is treated as TEXT."""


_NAMES = """
    action actor address admin_key_file at backend child code company_id device_file engine event_id
    file file_id from_state host kek_id key_id key_name kind lease_owner library_version listener logger
    message_type method migration migrations module neonize operation owner path peer phase port
    reason_code request_id route scope signal socket_path source sqlstate state state_dir statement
    status strategy stream subscription table target task to_state type url version webhook_id where
"""
_TEXTS = """
    caller chat detail hint jid lid line message_id phone sender user why
"""
_ERRORS = "crash error reason"
_TRACES = "traceback"
_NUMBERS = """
    age_s archives at_s attempt attempts batch bytes capacity closed_in_s companies connected count dead_letters deadline_s
    delay_s deltas depth dropped duration_s elsewhere epoch erased events exit_code expires_in_s failures free
    handled idempotency in_s incarnation interval_s keys lag_s limit lines media messages misses ms
    next_attempt_at open pid position queued rebuilt refreshed remaining restarts retry_after_s round_trip_s rows
    rss_bytes seconds seq sessions size suppressed threads timeout_s total uptime_s waited_s waiting
"""

FIELDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        name: kind
        for names, kind in (
            (_NAMES, Kind.NAME),
            (_TEXTS, Kind.TEXT),
            (_ERRORS, Kind.ERROR),
            (_TRACES, Kind.TRACE),
            (_NUMBERS, Kind.NUMBER),
        )
        for name in names.split()
    }
)
