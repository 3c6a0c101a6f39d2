"""Clients that three generators make from the document of a running daemon compile, and can talk to it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.openapi.tools import CLIENTS, modules_or_skip, succeed
from tests.support.api import SESSIONS, Api
from tests.support.samples import png
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.slow
A, B = User(1), User(2)
PLAN = Plan(companies=(A,), others=(B,))


@pytest.fixture
async def workplace(api: Api, tmp_path: Path) -> Path:
    """A directory with the daemon's document and the programs that use the clients."""
    shutil.copytree(CLIENTS, tmp_path, dirs_exist_ok=True)
    document = await api.call("GET", "/docs/openapi.json")
    (tmp_path / "openapi.json").write_bytes(document.content)
    return tmp_path


@pytest.fixture
def node(workplace: Path) -> Path:
    """The same directory, with the tools from npm."""
    (workplace / "node_modules").symlink_to(modules_or_skip())
    (workplace / "package.json").write_text('{"private": true, "type": "commonjs"}')
    return workplace


async def talk(site: Site, api: Api, command: list[str], directory: Path, more: Mapping[str, str]) -> dict[str, Any]:
    """What a program found when it talked to the daemon: it sends, is refused, fetches a file, reads metrics and events."""
    uploaded = await api.call("POST", f"{SESSIONS}/{A.company}/media", content=png())
    arguments = [A.company, f"+{B.phone}", uploaded.json()["mediaId"]]
    environment = {"WASUP_URL": site.daemon.url, "WASUP_KEY": site.daemon.key, **more}
    said = await trio.to_thread.run_sync(succeed, [*command, *arguments], directory, environment)
    found: dict[str, Any] = json.loads(said)
    return found


async def assert_talked(api: Api, found: dict[str, Any]) -> None:
    """Each response was parsed as its type, the refusals too, and the message is in the daemon's log."""
    message_id = found.pop("messageId")
    assert found == {
        "state": "connected",
        "refused": "invalid_phone",
        "linked": "already_linked",
        "bytes": len(png()),
        "metrics": "# HELP",
        "events": 1,
    }
    assert message_id


async def compile_typescript(directory: Path, *sources: str) -> None:
    """Run the strict compiler, whose first complaint fails the test."""
    config = json.loads((directory / "tsconfig.json").read_text())
    (directory / "tsconfig.json").write_text(json.dumps({**config, "include": list(sources)}))
    await trio.to_thread.run_sync(partial(succeed, ["node_modules/.bin/tsc", "-p", "."], directory))


async def test_openapi_typescript_and_openapi_fetch(site: Site, api: Api, node: Path) -> None:
    """A message needs its recipient and its content, and no `options: null`."""
    generate = ["node_modules/.bin/openapi-typescript", "openapi.json", "-o", "openapi_typescript.d.ts"]
    await trio.to_thread.run_sync(partial(succeed, generate, node))
    await compile_typescript(node, "talk_openapi_fetch.ts", "openapi_typescript.d.ts")
    found = await talk(site, api, ["node", "out/talk_openapi_fetch.js"], node, {})

    await assert_talked(api, found)


async def test_orval(site: Site, api: Api, node: Path) -> None:
    """As it generates by default, which an operation of the name `fetch` broke, and with a mutator that tells files from JSON."""
    await trio.to_thread.run_sync(partial(succeed, ["node_modules/.bin/orval", "--config", "orval.config.cjs"], node))
    await compile_typescript(node, "orval_plain.ts", "talk_orval.ts", "orval.ts", "fetcher.ts")
    found = await talk(site, api, ["node", "out/talk_orval.js"], node, {})

    await assert_talked(api, found)


async def test_openapi_python_client(site: Site, api: Api, workplace: Path) -> None:
    """Without a warning: no response is left out, and a type checker finds nothing."""
    program = str(Path(sys.executable).with_name("openapi-python-client"))
    command = [program, "generate", "--path", "openapi.json", "--output-path", "wasup_client", "--meta", "none"]
    generate = [*command, "--config", "python_client.yaml", "--fail-on-warning"]
    await trio.to_thread.run_sync(partial(succeed, generate, workplace))
    check = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir=.mypy", "talk_python_checked.py"]
    program_text = (workplace / "talk_python.py").read_text().replace("# mypy: ignore-errors\n", "")
    (workplace / "talk_python_checked.py").write_text(program_text)
    await trio.to_thread.run_sync(partial(succeed, check, workplace))
    found = await talk(
        site, api, [sys.executable, "talk_python.py"], workplace, {"PYTHONPATH": str(workplace), "PYTHONSAFEPATH": ""}
    )

    await assert_talked(api, found)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
async def test_promtool_finds_one_name_that_is_fixed(api: Api) -> None:
    """`whatsapp_sessions_total` is a gauge: older dashboards read it by that name. Nothing else is wrong with the metrics."""
    await api.send(A.company, B.phone, "for the metrics")
    text = (await api.call("GET", "/metrics")).content
    command = ["promtool", "check", "metrics"]
    done = await trio.run_process(command, stdin=text, capture_stdout=True, capture_stderr=True, check=False)

    said = (done.stdout + done.stderr).decode().splitlines()
    assert [line.strip() for line in said if line.strip()] == [
        'whatsapp_sessions_total non-counter metrics should not have "_total" suffix'
    ]
