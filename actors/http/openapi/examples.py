"""Examples of the API's bodies by the name of their type: shown in the documentation, and a test compares them with the types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_COMPANY: Final = "962302"
_AT: Final = 1_790_000_000.0
_STATUS: Final[Mapping[str, Any]] = {
    "companyId": _COMPANY,
    "status": "connected",
    "reason": "logged in",
    "reasonCode": None,
    "connected": True,
    "since": _AT,
    "phoneNumber": "+79000000001",
    "lid": "100000000000001@lid",
    "reconnectAttempts": 0,
    "nextAttemptAt": None,
    "restarts": 0,
    "engine": "/engines/engine-0",
    "leaseEpoch": 3,
    "evidence": {
        "connectedAgeS": 3600.5,
        "roundTripAgeS": 12.1,
        "roundTripS": 0.08,
        "messageAgeS": 47.0,
        "commitAgeS": 46.9,
    },
    "success": True,
}
_GROUP: Final[Mapping[str, Any]] = {
    "id": "120363000000000001@g.us",
    "subject": "Sales",
    "description": "",
    "owner": "100000000000001@lid",
    "announcement": False,
    "locked": False,
    "size": 1,
}
_EVENT: Final[Mapping[str, Any]] = {
    "id": "b2c1a0f4e5d64c0f9d0e3a5f7c9b1d2e",
    "seq": 4711,
    "type": "message",
    "companyId": _COMPANY,
    "timestamp": _AT,
    "payload": {"messageId": "3EB0C767D097B7C7E0F1", "kind": "text", "text": "Hello"},
}

_WEBHOOK: Final[Mapping[str, Any]] = {
    "id": "wh_0123456789abcdef",
    "url": "https://app.example/whatsapp/events",
    "companies": [_COMPANY],
    "eventTypes": ["message", "receipt"],
    "enabled": True,
    "description": "orders",
    "status": "active",
    "cursor": 4711,
    "lag": 0,
    "deadLetters": 1,
    "lastDeliveredAt": _AT,
    "lastFailedAt": None,
    "lastFailure": None,
    "suspendedUntil": None,
    "previousSecretUntil": None,
    "createdAt": _AT,
    "updatedAt": _AT,
}
_SIGNED_WITH: Final = "whsec_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
_WEBHOOKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "NewWebhookBody": {
        "url": "https://app.example/whatsapp/events",
        "companies": [_COMPANY],
        "eventTypes": ["message", "receipt"],
    },
    "WebhookBody": {"url": "https://app.example/whatsapp/events", "companies": [_COMPANY]},
    "WebhookChangeBody": {"enabled": False},
    "RotationBody": {"overlapS": 3600},
    "DeadLettersBody": {"eventIds": ["b2c1a0f4e5d64c0f9d0e3a5f7c9b1d2e"]},
    "NewWebhookReply": {**_WEBHOOK, "secret": _SIGNED_WITH, "success": True},
    "WebhookReply": {**_WEBHOOK, "success": True},
    "WebhooksReply": {"count": 1, "webhooks": [_WEBHOOK], "next": None, "success": True},
    "SecretReply": {
        "id": "wh_0123456789abcdef",
        "secret": _SIGNED_WITH,
        "previousSecretUntil": _AT + 86_400,
        "success": True,
    },
    "TestReply": {"delivered": True, "failure": None, "status": 204, "seconds": 0.12, "success": True},
    "DeadLettersReply": {
        "deadLetters": [
            {
                "seq": 4711,
                "eventId": "b2c1a0f4e5d64c0f9d0e3a5f7c9b1d2e",
                "type": "message",
                "companyId": _COMPANY,
                "attempts": 12,
                "lastFailure": "status_500",
                "lastStatus": 500,
                "diedAt": _AT,
                "replay": False,
                "event": _EVENT,
            }
        ],
        "next": None,
        "success": True,
    },
    "CountReply": {"count": 1, "success": True},
}


EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "SendBody": {"phone": "+79000000002", "message": "Hello"},
    "SentReply": {
        "companyId": _COMPANY,
        "phone": "+79000000002",
        "messageId": "3EB0C767D097B7C7E0F1",
        "timestamp": _AT,
        "success": True,
    },
    "InitializeBody": {"method": "code", "phone": "+79000000001"},
    "OfferReply": {
        "companyId": _COMPANY,
        "method": "code",
        "qr": None,
        "pairingCode": "ABCD1234",
        "expiresAt": _AT,
        "qrDataUrl": None,
        "qrTerminal": None,
        "message": "Type this code on the phone.",
        "success": True,
    },
    "PasskeyReply": {
        "companyId": _COMPANY,
        "step": "response",
        "options": {
            "challenge": "q83vASNFZ4k",
            "rpId": "whatsapp.com",
            "timeout": 600000,
            "userVerification": "required",
        },
        "origin": "https://web.whatsapp.com",
        "code": None,
        "error": None,
        "expiresAt": _AT,
        "message": "On a page of https://web.whatsapp.com, call navigator.credentials.get() with these options and send its toJSON().",
        "success": True,
    },
    "StatusReply": _STATUS,
    "HealthReply": {
        "companyId": _COMPANY,
        "healthy": True,
        "status": "connected",
        "phoneNumber": "+79000000001",
        "checks": {"lease": True, "engine": True, "connected": True, "roundTrip": True},
        "success": True,
    },
    "ForgottenReply": {"companyId": _COMPANY, "loggedOut": True, "erased": True, "success": True},
    "SessionsReply": {
        "count": 1,
        "sessions": [{"companyId": _COMPANY, "connected": True, "status": "connected", "health": "healthy"}],
        "next": None,
        "metrics": {"totalSessions": 1, "activeConnections": 1, "messagesSent": 12, "messagesReceived": 7},
        "success": True,
    },
    "EventsReply": {"events": [_EVENT], "next": 4711, "success": True},
    **_WEBHOOKS,
    "TicketReply": {"ticket": "wasup_ticket_…", "expiresAt": _AT, "success": True},
    "MetricsReply": {
        "totalSessions": 1,
        "activeConnections": 1,
        "failedReconnects": 0,
        "messagesSent": 12,
        "messagesReceived": 7,
        "qrCodesGenerated": 1,
        "errors": 0,
        "lastError": None,
        "sessions": {"total": 1, "connected": 1, "disconnected": 0},
        "timestamp": _AT,
        "success": True,
    },
    "ReadBody": {"phone": "+79000000002", "messageIds": ["3EB0C767D097B7C7E0F1"]},
    "TypingBody": {"phone": "+79000000002", "state": "composing"},
    "MediaReply": {
        "companyId": _COMPANY,
        "mediaId": "6d7f0a1b2c3d4e5f60718293a4b5c6d7",
        "kind": "document",
        "mimetype": "application/pdf",
        "size": 48210,
        "expiresAt": _AT,
        "success": True,
    },
    "ContactReply": {
        "companyId": _COMPANY,
        "phone": "+79000000002",
        "onWhatsapp": True,
        "id": "79000000002@s.whatsapp.net",
        "lid": "100000000000002@lid",
        "success": True,
    },
    "GroupsReply": {"companyId": _COMPANY, "count": 1, "groups": [_GROUP], "success": True},
    "GroupReply": {
        "companyId": _COMPANY,
        "group": _GROUP,
        "members": [
            {
                "id": "79000000002@s.whatsapp.net",
                "pn": "79000000002@s.whatsapp.net",
                "lid": "100000000000002@lid",
                "admin": False,
                "owner": False,
            }
        ],
        "success": True,
    },
    "AuditReply": {
        "records": [
            {
                "id": 17,
                "at": _AT,
                "keyId": "4455e4f5",
                "action": "restart",
                "target": "/companies/962302",
                "address": "127.0.0.1",
                "count": 1,
            }
        ],
        "next": 17,
        "success": True,
    },
    "Done": {"success": True},
}
"""A type that is missing here has an example in the document already, or none."""
