"""Supervised actors on trio: the semantics of Erlang/OTP in structured concurrency.

Everything a user needs is importable from here; errors are in `supervisor.errors`.
"""

from __future__ import annotations

from supervisor.introspection.report import (
    CYCLED,
    KILLED,
    NORMAL,
    SHUTDOWN,
    ActorSnapshot,
    ChildCounts,
    ChildInfo,
    CrashReport,
    ExitReason,
    LifecycleEvent,
)
from supervisor.introspection.trace import TraceEvent
from supervisor.messaging.actor import Actor, Ignore, Refusal, Request
from supervisor.messaging.call import ReplyTo
from supervisor.messaging.context import Context
from supervisor.messaging.helper import Helper
from supervisor.messaging.monitors import Down, Link, Monitor
from supervisor.messaging.ref import ActorRef
from supervisor.messaging.timer import Timer
from supervisor.running.system import System, open_system
from supervisor.tree.backoff import Backoff
from supervisor.tree.choices import BRUTAL_KILL, IGNORE, INFINITY, AutoShutdown, Overflow, Restart, Strategy
from supervisor.tree.intensity import Intensity
from supervisor.tree.spec import ChildSpec, DynamicSupervisorSpec, MailboxSpec, SupervisorSpec
from supervisor.tree.supervisor_ref import SupervisorRef

__all__ = [
    "BRUTAL_KILL",
    "CYCLED",
    "IGNORE",
    "INFINITY",
    "KILLED",
    "NORMAL",
    "SHUTDOWN",
    "Actor",
    "ActorRef",
    "ActorSnapshot",
    "AutoShutdown",
    "Backoff",
    "ChildCounts",
    "ChildInfo",
    "ChildSpec",
    "Context",
    "CrashReport",
    "Down",
    "DynamicSupervisorSpec",
    "ExitReason",
    "Helper",
    "Ignore",
    "Intensity",
    "LifecycleEvent",
    "Link",
    "MailboxSpec",
    "Monitor",
    "Overflow",
    "Refusal",
    "ReplyTo",
    "Request",
    "Restart",
    "Strategy",
    "SupervisorRef",
    "SupervisorSpec",
    "System",
    "Timer",
    "TraceEvent",
    "open_system",
]
