"""The files for monitoring systems, as tests read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # comes with schemathesis; its stubs would be one more package to pin

ROOT: Final = Path(__file__).parents[2]
ALERTS: Final = ROOT / "deploy" / "alerts.yml"
GRAFANA: Final = ROOT / "deploy" / "grafana" / "wasup.json"
HANDBOOK: Final = ROOT / "docs" / "HANDBOOK.md"


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert."""

    name: str
    expression: str
    severity: str
    summary: str
    runbook: str


def alert_rules() -> list[Rule]:
    """Every alert, in the order of the file. Raises when one lacks a part."""
    document = yaml.safe_load(ALERTS.read_text())
    return [
        Rule(
            name=rule["alert"],
            expression=rule["expr"],
            severity=rule["labels"]["severity"],
            summary=rule["annotations"]["summary"],
            runbook=rule["annotations"]["runbook_url"],
        )
        for group in document["groups"]
        for rule in group["rules"]
    ]


def grafana() -> dict[str, Any]:
    """The dashboard."""
    document: dict[str, Any] = json.loads(GRAFANA.read_text())
    return document


def grafana_expressions() -> Iterator[tuple[str, str]]:
    """Title of the panel and expression, for every query; variables are filled in as Grafana does."""
    for panel in grafana()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")


def handbook_sections() -> dict[str, str]:
    """The text below each heading of the third level."""
    parts = re.split(r"^### (.+)$", HANDBOOK.read_text(), flags=re.MULTILINE)
    return {
        name.strip(): re.split(r"^## ", text, flags=re.MULTILINE)[0]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }
