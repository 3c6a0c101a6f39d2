"""docs/webhooks.md: its code for receivers works, and the names in it exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from actors.daemon.metrics import Metrics
from actors.http.model.problems import KINDS
from actors.messages import EventType
from actors.outbound import errors
from actors.webhook_delivery.signing import signatures
from actors.webhooks.gauges import Standing, WebhookGauges
from config.sections import EventSettings, OutboundSettings, WebhookSettings
from storage.tables.webhook_secrets import Secrets

PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()
BODY = '{"text": "Привет"}'.encode()
NOW = 1_790_000_000


def code(language: str) -> str:
    """The one piece of code in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def signed(secrets: Secrets) -> str:
    """A timed signature as it is sent."""
    return dict(signatures(BODY, secrets, NOW))["X-Wasup-Signature"]


NEW, OLD = "whsec_new", "whsec_old"
CASES = [
    (BODY, signed(Secrets(NEW)), NEW, NOW, True),
    (BODY, signed(Secrets(NEW, OLD)), NEW, NOW, True),
    (BODY, signed(Secrets(NEW, OLD)), OLD, NOW + 299, True),
    (BODY, signed(Secrets(NEW)), OLD, NOW, False),
    (BODY + b" ", signed(Secrets(NEW)), NEW, NOW, False),
    (BODY, signed(Secrets(NEW)), NEW, NOW + 301, False),
    (BODY, signed(Secrets(NEW)), NEW, NOW - 301, False),
    (BODY, signed(Secrets(NEW)).replace(f"t={NOW}", f"t={NOW + 1}"), NEW, NOW, False),
    (BODY, f"t={NOW},v1=", NEW, NOW, False),
    (BODY, f"t={NOW},v1=zz", NEW, NOW, False),
    (BODY, f"v1={'0' * 64}", NEW, NOW, False),
    (BODY, "", NEW, NOW, False),
]


def test_the_python_code_verifies_what_is_sent() -> None:
    """And nothing else: another secret, body or time, or nonsense."""
    names: dict[str, Any] = {}
    exec(compile(code("python"), "docs/webhooks.md", "exec"), names)

    found = [names["is_from_wasup"](body, header, secret, now=now) for body, header, secret, now, _ in CASES]

    assert found == [expected for *_, expected in CASES]
    assert not names["is_from_wasup"](BODY, signed(Secrets(NEW)), NEW) or abs(time.time() - NOW) < 300


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_node_code_verifies_what_is_sent() -> None:
    """The same table."""
    cases = [[body.hex(), header, secret, now] for body, header, secret, now, _ in CASES]
    run = """
        const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
        const found = cases.map(([body, header, secret, now]) => isFromWasup(Buffer.from(body, "hex"), header, secret, now));
        console.log(JSON.stringify(found));
    """
    done = subprocess.run(
        ["node", "-e", code("javascript") + run], input=msgspec.json.encode(cases), capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr.decode()
    assert msgspec.json.decode(done.stdout) == [expected for *_, expected in CASES]


def exposed() -> set[str]:
    """The names of the metrics of webhooks."""
    metrics, gauges = Metrics(CollectorRegistry()), WebhookGauges()
    gauges.standings["wh_1"] = Standing(0)
    metrics.set_source("webhooks", gauges.samples)
    metrics.webhook_tried(0.1, "timed_out")
    return {sample.name for family in metrics.collect() for sample in family.samples}


def test_what_it_names_exists() -> None:
    """Event types, metrics, settings, failures; and the numbers are those of the settings."""
    types = re.search(r"it gets these:\n(.*?) comes only where it is named", PAGE, re.DOTALL)
    assert types is not None
    hooks, events, outbound = WebhookSettings(), EventSettings(), OutboundSettings()
    failures = set(get_args(errors.Refusal)) | set(get_args(errors.Failure)) - {"too_large"}
    settings = {*(f"webhooks.{name}" for name in hooks.__struct_fields__), "events.retention_s"}
    settings |= {f"outbound.{name}" for name in outbound.__struct_fields__}

    assert set(re.findall(r"`(\w+)`", types[1])) == set(get_args(EventType))
    assert set(re.findall(r"`((?:webhooks|events|outbound)\.\w+)`", PAGE)) <= settings
    assert failures - {"invalid_url"} <= set(re.findall(r"`(\w+)`", PAGE))
    assert {"invalid_url", "no_such_webhook"} <= set(KINDS)
    assert set(re.findall(r"`(wasup_webhook_\w+)`", PAGE)) <= exposed()
    assert (hooks.timeout_s, hooks.retry_min_s, hooks.retry_max_s, hooks.max_attempts) == (10.0, 1.0, 300.0, 12)
    assert (hooks.circuit_failures, hooks.circuit_min_s, hooks.circuit_max_s, hooks.concurrency) == (5, 30.0, 900.0, 8)
    assert (hooks.dead_letter_retention_s, hooks.max_dead_letters) == (30 * 86_400, 10_000)
    assert (hooks.secret_overlap_s, events.retention_s) == (86_400, 7 * 86_400)
