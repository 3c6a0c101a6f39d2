"""The progress of this daemon's webhooks, for the metrics. The actors share it; none of them owns it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actors.daemon.metric_types import Sample


@final
@dataclass(slots=True)
class Standing:
    """The progress of one webhook."""

    cursor: int
    oldest_at: float | None = None
    """The time of the oldest event in hand that is not delivered, in Unix seconds; None: none is in hand."""
    is_suspended: bool = False


@final
class WebhookGauges:
    """The webhooks that this daemon delivers to."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}
        self.last_seq = 0
        """The ``seq`` of the last event in the log, as last seen."""

    def remarks(self) -> dict[str, str]:
        """Return remarks on the actors that run but do not deliver, by path."""
        return {f"/webhooks/{name}": "suspended" for name, each in self.standings.items() if each.is_suspended}

    def samples(self) -> Iterator[Sample]:
        """Yield the gauges."""
        yield Sample("wasup_webhooks", "Webhooks that this daemon delivers to", len(self.standings))
        now = time.time()
        for webhook_id, standing in self.standings.items():
            labels = {"webhook": webhook_id}
            behind = max(0, self.last_seq - standing.cursor)
            age = 0.0 if standing.oldest_at is None else max(0.0, now - standing.oldest_at)
            yield Sample("wasup_webhook_lag_events", "Events of the log after the cursor", behind, labels)
            yield Sample("wasup_webhook_lag_seconds", "Age of the oldest event that is not delivered", age, labels)
            yield Sample("wasup_webhook_suspended", "1 while the circuit is open", standing.is_suspended, labels)
