"""The alert rules and the Grafana dashboard, against the metrics that a daemon exposes after some work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.monitoring import alert_rules, grafana_expressions
from tests.support.promql import NotPromQLError, Selector, reads
from tests.support.site import Plan, Site, User

A, B = (User(number) for number in range(1, 3))
PLAN = Plan(companies=(A, B))

FROM_THE_SCRAPE: Final = frozenset({"instance", "job"})
"""Labels that Prometheus adds."""
SERIES_LATER: Final = frozenset({"wasup_http_requests_total", "whatsapp_errors_total", "wasup_webhook_failures_total"})
"""Labels here take values that cannot all be produced: their names are compared, not their values."""

Series = Mapping[str, Sequence[Mapping[str, str]]]


@pytest.fixture
async def series(api: Api) -> Series:
    """The labels of every series by name, after a send, an error, a look at an engine and a delivery without a receiver."""
    if (await api.get("/api/whatsapp/webhooks"))["count"] == 0:
        made = await api.call("POST", "/api/whatsapp/webhooks", json={"url": "https://receiver.invalid/"})
        assert made.status_code == 201
    await api.send(A.company, B.phone, "hello")
    refused = await api.try_send(A.company, "79000000099", "nobody is there")
    assert refused.status_code != 200

    async def look() -> str | None:
        text = (await api.call("GET", "/metrics")).text
        wanted = ("wasup_engine_memory_bytes{", "whatsapp_errors_total{", "wasup_webhook_failures_total{")
        return text if all(name in text for name in wanted) else None

    exposition = await eventually("engines, errors and webhooks in the metrics", look, within=30.0)
    found: dict[str, list[Mapping[str, str]]] = {"up": [{}]}
    for family in text_string_to_metric_families(exposition or ""):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def selected(selector: Selector, series: Series) -> bool:
    """Whether ``selector`` selects a series, apart from Prometheus' own labels."""
    matchers = [matcher for matcher in selector.matchers if matcher.label not in FROM_THE_SCRAPE]
    if selector.metric in SERIES_LATER:
        names = {name for labels in series[selector.metric] for name in labels}
        return all(matcher.label in names for matcher in matchers)
    # `a|b` selects by both: each alternative must be a value that exists.
    alternatives = [
        [matcher.value] if matcher.sign == "=" else matcher.value.split("|") if matcher.sign == "=~" else []
        for matcher in matchers
    ]
    there = all(
        any(labels.get(matcher.label) == value for labels in series[selector.metric])
        for matcher, values in zip(matchers, alternatives, strict=True)
        for value in values
    )
    return there and any(all(matcher.takes(labels) for matcher in matchers) for labels in series[selector.metric])


def complaints(expression: str, series: Series) -> list[str]:
    """What ``expression`` reads and the daemon does not expose."""
    found = reads(expression)
    missing = [selector.metric for selector in found.selectors if selector.metric not in series]
    if missing:
        return [f"no metric {name}" for name in missing]
    empty = [str(selector) for selector in found.selectors if not selected(selector, series)]
    labels = {
        name for selector in found.selectors for labels in series[selector.metric] for name in labels
    } | FROM_THE_SCRAPE
    return empty + [f"no label {name}" for name in found.groupings - labels]


async def test_every_alert_and_panel_reads_what_is_there(series: Series, site: Site) -> None:
    """Each metric exists, each condition on a label selects something, each label that is grouped by exists."""
    expressions = {rule.name: rule.expression for rule in alert_rules()}
    panels = list(grafana_expressions())
    wrong = {name: found for name, expression in expressions.items() if (found := complaints(expression, series))}
    wrong |= {title: found for title, expression in panels if (found := complaints(expression, series))}

    assert len(expressions) > 20
    assert len(panels) > 40
    assert wrong == {}


async def test_labels_are_few_and_name_nobody(series: Series, site: Site) -> None:
    """No phone number, no company; no family with many series on a small daemon."""
    values = {value for found in series.values() for labels in found for value in labels.values()}

    assert not [value for value in values if any(user.phone in value or user.company == value for user in (A, B))]
    assert max(len(found) for name, found in series.items() if not name.endswith("_bucket")) < 80


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("wasup_storage_availble == 0", "no metric wasup_storage_availble"),
        ('wasup_sessions{status="faild"} > 0', "faild"),
        ('wasup_sessions{state="failed"} > 0', "state"),
        ("sum by (engin) (wasup_engine_memory_bytes)", "no label engin"),
        ('wasup_sessions{status=~"failed|bannd"}', "bannd"),
    ],
)
async def test_a_mistake_would_be_found(series: Series, expression: str, complaint: str) -> None:
    """The check above can fail."""
    assert complaint in " ".join(complaints(expression, series))


@pytest.mark.parametrize("expression", ["sum(rate(a[5m])", "a{b=}", "rat(a[5m])", "a ? b", "1 + 1"])
def test_what_is_no_promql_is_refused(expression: str) -> None:
    """An expression that Prometheus would not load."""
    with pytest.raises(NotPromQLError):
        reads(expression)


async def test_the_counters_are_there_before_they_count(series: Series) -> None:
    """`increase` misses the first event of a counter that does not begin at zero."""
    for name in (
        "wasup_leases_lost_total",
        "wasup_events_dropped_total",
        "wasup_rate_limit_fallbacks_total",
        "wasup_auth_failures_total",
        "wasup_events_subscribers_dropped_total",
    ):
        assert series[name], name
