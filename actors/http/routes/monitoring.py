"""Metrics, and whether the daemon is alive and ready."""

from __future__ import annotations

from collections.abc import Iterator

from litestar import Controller, Response, get

from actors.daemon.metric_types import Sample
from actors.http.access.guards import needs_admin, needs_key
from actors.http.model.bodies import ApiRequest
from actors.http.model.problems import Problem
from actors.http.model.responses import Done, MetricsReply, succeed
from actors.http.openapi.operations import NOT_READY, may_answer, named
from actors.http.services.backends import Injected
from actors.messages import GetDaemonHealth
from supervisor import ActorSnapshot
from supervisor.errors import SupervisorError

EXPOSITION = "text/plain; version=0.0.4"
"""Without the charset: the framework adds it to every text type."""
_DYNAMIC = ("/companies", "/engines")
"""Supervisors with many short-lived children, which are counted together."""


class MetricsController(Controller):
    """Counters."""

    path = "/"
    guards = (needs_key,)
    tags = ("metrics",)

    @get("/api/whatsapp/metrics", summary="Metrics as JSON", responses=may_answer())
    async def get_metrics(self, request: ApiRequest, backends: Injected) -> MetricsReply:
        """Of all companies, or of those of the key."""
        return succeed(MetricsReply, backends.metrics.totals(request.auth.companies))


class ExpositionController(Controller):
    """Counters and gauges of the whole daemon."""

    path = "/"
    guards = (needs_key, needs_admin)
    tags = ("metrics",)

    @get(
        ["/metrics", "/api/whatsapp/metrics/prometheus"],
        summary="Metrics for Prometheus",
        operation_id=named(metrics="getPrometheusMetrics", prometheus="getMetricsText"),
        responses=may_answer(),
        media_type=EXPOSITION,
    )
    async def get_metrics_text(self, backends: Injected) -> Response[bytes]:
        """Everything, in Prometheus' text format."""
        return Response(backends.metrics.exposition(), media_type=EXPOSITION)


class ProbesController(Controller):
    """For load balancers and service managers: no key, no details."""

    path = "/"
    security = ({},)
    tags = ("probes",)

    @get("/livez", summary="Alive")
    async def check_alive(self) -> Done:
        """200 whenever the daemon can answer at all."""
        return Done()

    @get("/readyz", summary="Ready", responses=NOT_READY)
    async def check_ready(self, backends: Injected) -> Done:
        """200 when the daemon can do its work, 503 `not_ready` otherwise."""
        try:
            health = await backends.health.ask(GetDaemonHealth(), timeout=backends.waits.ready_s)
        except SupervisorError as error:
            raise Problem("not_ready") from error
        if not health.ready:
            raise Problem("not_ready")
        return Done()


def actor_samples(root: ActorSnapshot) -> Iterator[Sample]:
    """Yield restarts, mailbox and handler time: for each actor of the fixed tree, and for companies and engines together."""
    for actor in _walk(root):
        if actor.path in _DYNAMIC:
            yield from _samples_of(f"{actor.path}/*", list(actor.children))
            yield _restarts(actor)
        elif actor.kind == "actor":
            yield from _samples_of(actor.path, [actor])
        else:
            yield _restarts(actor)


def _walk(actor: ActorSnapshot) -> Iterator[ActorSnapshot]:
    yield actor
    if actor.path not in _DYNAMIC:
        for child in actor.children:
            yield from _walk(child)


def _restarts(actor: ActorSnapshot) -> Sample:
    return Sample("wasup_actor_restarts", "Restarts", actor.restarts, {"actor": actor.path}, "counter")


def _samples_of(label: str, group: list[ActorSnapshot]) -> Iterator[Sample]:
    labels = {"actor": label}
    oldest = max((actor.oldest_message_age or 0.0 for actor in group), default=0.0)
    yield Sample("wasup_actors", "Actors", len(group), labels)
    yield Sample("wasup_actor_restarts", "Restarts", sum(a.restarts for a in group), labels, "counter")
    yield Sample("wasup_mailbox_depth", "Messages that wait", sum(a.mailbox_depth for a in group), labels)
    yield Sample("wasup_mailbox_age_seconds", "Age of the oldest message that waits", oldest, labels)
    yield Sample("wasup_messages_handled", "Messages handled", sum(a.handled for a in group), labels, "counter")
    handler_s = sum(actor.handler_seconds for actor in group)
    yield Sample("wasup_handler_seconds", "Time spent in handlers", handler_s, labels, "counter")
