# The test that runs this makes the client: a type checker here cannot see it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""What an application does, with the client that openapi-python-client made. Prints its findings as one line of JSON.

``PYTHONPATH`` has the client; ``WASUP_URL`` and ``WASUP_KEY`` name the daemon.
"""

from __future__ import annotations

import json
import os
import sys

from wasup_client import AuthenticatedClient
from wasup_client.api.events import read_events
from wasup_client.api.messages import fetch_media, send_message
from wasup_client.api.metrics import get_prometheus_metrics
from wasup_client.api.sessions import get_session_status, initialize_session
from wasup_client.models import (
    EventsReply,
    InitializeBody,
    OfferReply,
    ProblemBody,
    SendBody,
    SentReply,
    StatusReply,
)
from wasup_client.types import File


def main() -> None:
    """Talk about the company, phone and file of the arguments."""
    company, phone, media_id = sys.argv[1:]
    client = AuthenticatedClient(base_url=os.environ["WASUP_URL"], token=os.environ["WASUP_KEY"])
    status = get_session_status.sync(company, client=client)
    sent = send_message.sync(company, client=client, body=SendBody(phone=phone, message="from Python"))
    refused = send_message.sync(company, client=client, body=SendBody(phone="12", message="to nobody"))
    linked = initialize_session.sync(company, client=client, body=InitializeBody())
    file = fetch_media.sync(company, media_id, client=client)
    metrics = get_prometheus_metrics.sync(client=client)
    events = read_events.sync(client=client, limit=1)
    assert isinstance(status, StatusReply)
    assert isinstance(sent, SentReply)
    assert isinstance(refused, ProblemBody)
    assert isinstance(linked, ProblemBody | OfferReply)
    assert isinstance(file, File)
    assert isinstance(metrics, str)
    assert isinstance(events, EventsReply)
    found = {
        "state": status.status,
        "messageId": sent.message_id,
        "refused": refused.code,
        "linked": linked.code if isinstance(linked, ProblemBody) else None,
        "bytes": len(file.payload.read()),
        "metrics": metrics[:6],
        "events": len(events.events),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
