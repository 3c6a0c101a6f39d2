"""The operator's handbook: every alert is in it, and everything it names exists."""

from __future__ import annotations

import re

import pytest

from actors.main import COMMANDS
from actors.messages import CompanyState
from tests.support.monitoring import HANDBOOK, ROOT, alert_rules, grafana, handbook_sections

TEXT = HANDBOOK.read_text()


def anchors() -> set[str]:
    """The anchors that a link into the handbook can point to."""
    titles = re.findall(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """A section says what it means and what to do; an alert without one wakes an operator for nothing."""
    sections = {name: text for name, text in handbook_sections().items() if name.startswith("Wasup")}
    names = [rule.name for rule in alert_rules()]

    assert len(names) == len(set(names))
    assert set(sections) == set(names)
    assert [name for name, text in sections.items() if "**Means**" not in text or "**Do**" not in text] == []


def test_every_alert_leads_to_its_section() -> None:
    """The runbook link, a severity that is routed, and a summary."""
    for rule in alert_rules():
        assert rule.runbook == f"docs/HANDBOOK.md#{rule.name.lower()}"
        assert rule.runbook.partition("#")[2] in anchors()
        assert rule.severity in {"page", "ticket"}
        assert rule.summary


@pytest.mark.parametrize("state", [state.value for state in CompanyState])
def test_every_state_is_explained(state: str) -> None:
    """One row of the table, with what to do."""
    table = TEXT.partition("## States of a company")[2].partition("\n## ")[0]
    (row,) = re.findall(rf"^\| `{state}` \|.*$", table, flags=re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")]

    assert all(cells)
    assert len(cells) == 3


def test_every_link_leads_somewhere() -> None:
    """Files that exist, headings that exist."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert path == "" or (HANDBOOK.parent / path).exists(), target
        assert not anchor or anchor in anchors(), target
    for path in re.findall(r"`(deploy/[\w./]+)`", TEXT):
        assert (ROOT / path).exists(), path


def test_every_command_and_setting_it_names_exists() -> None:
    """What the handbook has an operator type at night has to work."""
    settings = (ROOT / "docs" / "settings.md").read_text()
    commands = set(re.findall(r"`wasup ([a-z-]+)", TEXT))
    named = set(re.findall(r"`((?:http|engine|company|storage|events|lease)\.[a-z_]+)`", TEXT))

    assert commands <= set(COMMANDS)
    assert len(named) >= 8
    assert [name for name in named if name.partition(".")[2] not in settings] == []


def test_the_panels_it_names_exist() -> None:
    """`*Title*` of a Grafana panel."""
    titles = {panel["title"] for panel in grafana()["panels"]}

    for title in ("Time of a commit", "Messages a second", "CPU of the daemon", "What waits", "Companies in an engine"):
        assert title in titles
        assert f"*{title}*" in TEXT
