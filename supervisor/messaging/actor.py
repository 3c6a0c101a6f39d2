"""What users write: actors, requests and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from supervisor.introspection.report import ExitReason
    from supervisor.messaging.context import Context

R_co = TypeVar("R_co", covariant=True)


class Request(Generic[R_co]):
    """Base of messages that are answered with an ``R_co``: ``class GetStatus(Request[Status])``."""

    __slots__ = ()


class Refusal(Exception):
    """Raised by `Actor.receive` to answer an ask with an exception; the actor goes on unharmed.

    Raised while a told message is handled it is counted and otherwise ignored: there is nobody to be told.
    """


class Ignore(Exception):
    """Raised by `Actor.started`: there is nothing to run, and that is no failure."""


class Actor:
    """One object per incarnation; its methods are called one at a time, never concurrently.

    Anything a method raises (but a `Refusal`) is a crash: the incarnation ends and its supervisor decides.
    """

    context: Context
    """Set before `started`."""

    async def started(self) -> None:
        """Get ready. The child counts as started once this has returned; the next sibling is started after that."""

    async def receive(self, message: Any) -> Any:
        """Handle one message; for an ask, what is returned is the answer."""
        raise NotImplementedError(f"{type(self).__qualname__} does not receive {type(message).__qualname__}")

    def state(self) -> Any:
        """What `System.get_state` shows: a copy of the attributes, unless overridden. Must not block."""
        return {name: value for name, value in vars(self).items() if name != "context"}

    async def stopping(self, reason: ExitReason) -> None:
        """Clean up, within the child's shutdown time. Not called for an incarnation that is killed or did not start.

        Helper tasks still run and are cancelled afterwards.
        """
