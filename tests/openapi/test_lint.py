"""The document is valid to two linters, which both find an earlier mistake in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.http.openapi.document import make_document
from config.sections import HttpSettings
from tests.http.world import app_for
from tests.openapi.tools import HERE, modules_or_skip, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def modules() -> Path:
    """The installed tools."""
    return modules_or_skip()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document, as the daemon serves it."""
    return msgspec.json.decode(make_document(app_for(HttpSettings())), type=dict[str, Any])


def redocly(modules: Path, path: Path) -> list[str]:
    """The rules that Redocly finds broken."""
    program = str(modules / ".bin" / "redocly")
    command = [program, "lint", path.name, f"--config={HERE / 'redocly.yaml'}", "--format=json", "--max-problems=1000"]
    done = run(command, path.parent)
    found: dict[str, Any] = msgspec.json.decode(done.stdout[done.stdout.index("{") :].encode(), strict=False)
    return [f"{each['ruleId']}: {each['message']}" for each in found["problems"]]


def spectral(modules: Path, path: Path) -> list[str]:
    """The rules that Spectral finds broken."""
    program = str(modules / ".bin" / "spectral")
    done = run([program, "lint", path.name, f"--ruleset={HERE / 'spectral.yaml'}", "--format=json"], path.parent)
    found: list[dict[str, Any]] = msgspec.json.decode(done.stdout[: done.stdout.rindex("]") + 1].encode())
    return [f"{each['code']}: {each['message']}" for each in found]


LINTERS = pytest.mark.parametrize("lint", [redocly, spectral])


@LINTERS
def test_the_document_is_valid(lint: Any, modules: Path, document: dict[str, Any], tmp_path: Path) -> None:
    """Without a warning."""
    path = tmp_path / "openapi.json"
    path.write_bytes(msgspec.json.encode(document))

    assert lint(modules, path) == []


@LINTERS
def test_a_linter_sees_an_example_with_an_id(
    lint: Any, modules: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    """The framework writes the key of an example into it: 478 errors in each linter."""
    broken = msgspec.json.decode(msgspec.json.encode(document))
    answers = broken["paths"]["/api/whatsapp/sessions"]["get"]["responses"]
    answers["401"]["content"]["application/problem+json"]["examples"]["unauthorized"]["id"] = "unauthorized"
    path = tmp_path / "openapi.json"
    path.write_bytes(msgspec.json.encode(broken))

    assert len(lint(modules, path)) == 1
