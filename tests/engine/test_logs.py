"""The process's log lines about its companies."""

from __future__ import annotations

import json

import pytest

from actors.engine import logs
from actors.engine.logs import EngineLog


def test_a_line_is_one_redacted_json_object(capfd: pytest.CaptureFixture[str]) -> None:
    """Level, company, source and text, without the number."""
    EngineLog("962302").library("ERROR", "Client", "Failed to send to 79000000042@s.whatsapp.net")

    assert json.loads(capfd.readouterr().err) == {
        "level": "error",
        "company": "962302",
        "logger": "whatsmeow/Client",
        "text": "Failed to send to 79…42@s.whatsapp.net",
    }


def test_a_company_has_only_so_many_lines_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines beyond the limit are counted, not printed."""
    now = [0.0]
    log = EngineLog("962302", clock=lambda: now[0])
    for number in range(logs.LINES_A_WINDOW + 7):
        log.caution(f"line {number}")
    now[0] += logs.WINDOW_S + 1
    log.caution("next")

    texts = [json.loads(line)["text"] for line in capfd.readouterr().err.splitlines()]
    assert len(texts) == logs.LINES_A_WINDOW + 2
    assert texts[-2:] == ["7 more lines were left out", "next"]
