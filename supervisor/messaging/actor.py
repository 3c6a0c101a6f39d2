"""The base classes of users' code: actors, requests and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from supervisor.introspection.report import ExitReason
    from supervisor.messaging.context import Context

R_co = TypeVar("R_co", covariant=True)


class Request(Generic[R_co]):
    """Base of messages that get a reply of type ``R_co``: ``class GetStatus(Request[Status])``."""

    __slots__ = ()


class Refusal(Exception):
    """Raised by `Actor.receive` to reply to an ask with an exception; the actor keeps running.

    For a message sent by `tell` it is counted and otherwise ignored, since no caller waits.
    """


class Ignore(Exception):
    """Raised by `Actor.started` when there is nothing to run. This is not a failure."""


class Actor:
    """One object per incarnation; its methods are called one at a time, never concurrently.

    Any exception of a method except a `Refusal` is a crash: the incarnation ends and its supervisor decides.
    """

    context: Context
    """Set before `started`."""

    async def started(self) -> None:
        """Get ready. When this has returned, the child counts as started and the next sibling is started."""

    async def receive(self, message: Any) -> Any:
        """Handle one message; for an ask, the returned value is the reply."""
        raise NotImplementedError(f"{type(self).__qualname__} does not receive {type(message).__qualname__}")

    def state(self) -> Any:
        """Return what `System.get_state` shows: a copy of the attributes, unless overridden. Must not block."""
        return {name: value for name, value in vars(self).items() if name != "context"}

    async def stopping(self, reason: ExitReason) -> None:
        """Clean up, within the child's shutdown time. Not called for an incarnation that is killed or did not start.

        Helper tasks still run and are cancelled afterwards.
        """
