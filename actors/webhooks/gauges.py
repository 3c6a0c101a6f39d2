"""What this daemon's webhooks are at, for the metrics: shared by the actors, owned by none of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actors.daemon.metric_types import Sample


@final
@dataclass(slots=True)
class Standing:
    """How one webhook stands."""

    cursor: int
    oldest_at: float | None = None
    """When the oldest event that is not delivered happened, in Unix seconds; None: none is in hand."""
    is_suspended: bool = False


@final
class WebhookGauges:
    """The webhooks that this daemon delivers to."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}
        self.last_seq = 0
        """The last event of the log, as last seen."""

    def remarks(self) -> dict[str, str]:
        """Which of their actors do not deliver although they run, by path."""
        return {f"/webhooks/{name}": "suspended" for name, each in self.standings.items() if each.is_suspended}

    def samples(self) -> Iterator[Sample]:
        """The gauges."""
        yield Sample("wasup_webhooks", "Webhooks that this daemon delivers to", len(self.standings))
        now = time.time()
        for webhook_id, standing in self.standings.items():
            labels = {"webhook": webhook_id}
            behind = max(0, self.last_seq - standing.cursor)
            age = 0.0 if standing.oldest_at is None else max(0.0, now - standing.oldest_at)
            yield Sample("wasup_webhook_lag_events", "Events of the log after the cursor", behind, labels)
            yield Sample("wasup_webhook_lag_seconds", "Age of the oldest event that is not delivered", age, labels)
            yield Sample("wasup_webhook_suspended", "1 while the circuit is open", standing.is_suspended, labels)
