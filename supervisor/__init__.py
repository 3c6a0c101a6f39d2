"""Supervised actors on trio: the semantics of Erlang/OTP in structured concurrency.

Everything a user needs is importable from here; errors are in `supervisor.errors`.
"""

from __future__ import annotations

from supervisor.actor import Actor, Ignore, Refusal, Request
from supervisor.backoff import Backoff
from supervisor.blocking import report_blocking
from supervisor.call import ReplyTo
from supervisor.choices import BRUTAL_KILL, IGNORE, INFINITY, AutoShutdown, Overflow, Restart, Strategy
from supervisor.context import Context
from supervisor.helper import Helper
from supervisor.intensity import Intensity
from supervisor.monitors import Down, Link, Monitor
from supervisor.opening import open_system
from supervisor.ref import ActorRef
from supervisor.report import (
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
from supervisor.spec import ChildSpec, DynamicSupervisorSpec, MailboxSpec, SupervisorSpec
from supervisor.supervisor_ref import SupervisorRef
from supervisor.system import System
from supervisor.timer import Timer
from supervisor.trace import TraceEvent

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
    "report_blocking",
]
