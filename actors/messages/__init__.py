"""What actors say to each other and to the HTTP side: requests (with the type they are answered with), answers and notices.

Requests and notices never leave the process and are plain frozen dataclasses; answers that HTTP sends on are msgspec structs whose
fields are renamed to camelCase on the wire. One module a topic; everybody imports from here.
"""

from __future__ import annotations

from actors.messages.basis import (
    Answer,
    CompanyState,
    Refused,
)
from actors.messages.company import (
    CheckHealth,
    CompanyStatus,
    Evidence,
    GetOffer,
    GetStatus,
    HealthReport,
    Initialize,
    LeaseExtended,
    LeaseWasLost,
    Logout,
    Offer,
    RestartSession,
    StartSession,
    StopSession,
)
from actors.messages.directory import (
    EnsureCompany,
    FindCompany,
    ForgetCompany,
    HealthChanged,
    LeaseDropped,
    LeaseTaken,
    ListSessions,
    SessionPage,
    SessionSummary,
    SetDesired,
    StatusChanged,
)
from actors.messages.engines import (
    EnginePlace,
    LeavePlace,
    PlaceWasFull,
    TakePlace,
    WaitReady,
)
from actors.messages.events import (
    Announce,
    Event,
    EventPage,
    Publish,
    ReadEvents,
    Subscribe,
)
from actors.messages.sending import (
    Quoted,
    SendText,
    Sent,
)
from actors.messages.services import (
    Allowance,
    DaemonHealth,
    GetDaemonHealth,
    GetHttpAddress,
    ReloadFiles,
    SetRateLimit,
    TakeToken,
)
from actors.messages.webhooks import StopDelivering, WebhooksChanged, WebhookStands

__all__ = [
    "Allowance",
    "Announce",
    "Answer",
    "CheckHealth",
    "CompanyState",
    "CompanyStatus",
    "DaemonHealth",
    "EnginePlace",
    "EnsureCompany",
    "Event",
    "EventPage",
    "Evidence",
    "FindCompany",
    "ForgetCompany",
    "GetDaemonHealth",
    "GetHttpAddress",
    "GetOffer",
    "GetStatus",
    "HealthChanged",
    "HealthReport",
    "Initialize",
    "LeaseDropped",
    "LeaseExtended",
    "LeaseTaken",
    "LeaseWasLost",
    "LeavePlace",
    "ListSessions",
    "Logout",
    "Offer",
    "PlaceWasFull",
    "Publish",
    "Quoted",
    "ReadEvents",
    "Refused",
    "ReloadFiles",
    "RestartSession",
    "SendText",
    "Sent",
    "SessionPage",
    "SessionSummary",
    "SetDesired",
    "SetRateLimit",
    "StartSession",
    "StatusChanged",
    "StopDelivering",
    "StopSession",
    "Subscribe",
    "TakePlace",
    "TakeToken",
    "WaitReady",
    "WebhookStands",
    "WebhooksChanged",
]
