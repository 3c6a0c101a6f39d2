"""The options of a specification."""

from __future__ import annotations

import math
from enum import Enum
from typing import Final


class Restart(Enum):
    """When a child that ended is started again."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """When it ended abnormally."""
    TEMPORARY = "temporary"
    """Never; its spec is forgotten when it ends."""


class Strategy(Enum):
    """Which children are restarted besides the one that ended."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(Enum):
    """Whether the end of significant children ends their supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class Overflow(Enum):
    """What a full mailbox does with one more message. `send` waits for room under REJECT and WAIT."""

    REJECT = "reject"
    """`tell` and `ask` raise `MailboxFull`."""
    DROP_NEWEST = "drop_newest"
    """A message sent by `tell` is dropped silently (and counted); `ask` raises `MailboxFull`."""
    DROP_OLDEST = "drop_oldest"
    """The oldest queued message is dropped; if it was an ask, its caller gets `MailboxFull`."""
    WAIT = "wait"
    """`ask` waits for room within its timeout; `tell`, which cannot wait, raises `MailboxFull`."""


class BrutalKill(Enum):
    """Type of `BRUTAL_KILL`."""

    BRUTAL_KILL = "brutal_kill"


class Ignored(Enum):
    """Type of `IGNORE`."""

    IGNORE = "ignore"


BRUTAL_KILL: Final = BrutalKill.BRUTAL_KILL
"""As ``shutdown``: cancel at once, without a call of `stopping`."""
INFINITY: Final = math.inf
"""As ``shutdown``: wait for as long as it takes."""
IGNORE: Final = Ignored.IGNORE
"""Returned by a ``start`` function when there is nothing to run. This is not a failure."""
