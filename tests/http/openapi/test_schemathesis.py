"""What the OpenAPI document allows works, and what it does not allow is refused: tested by schemathesis, all checks, two keys."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import trio

from config.sections import HttpSettings, OutboundSettings
from tests.http.world import A_KEY, ADMIN_KEY, running, sample_world

ROOT = Path(__file__).parents[3]
SEED = 20261121
PATIENT = HttpSettings(auth_failures_per_minute=10_000)
"""It tries wrong keys by the dozen, and has to get 401 each time."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "examples", "within_s"),
    [
        pytest.param(ADMIN_KEY, 4, 240.0, id="admin-short"),  # a company's key takes half a minute more and shows less
        pytest.param(ADMIN_KEY, 100, 3600.0, id="admin-hundred", marks=pytest.mark.long),
        pytest.param(A_KEY, 100, 3600.0, id="company-hundred", marks=pytest.mark.long),
        pytest.param(ADMIN_KEY, 500, 7000.0, id="admin-full", marks=pytest.mark.chaos),
        pytest.param(A_KEY, 500, 7000.0, id="company-full", marks=pytest.mark.chaos),
    ],
)
async def test_e7_the_api_is_what_its_description_says(
    key: str, examples: int, within_s: float, tmp_path: Path
) -> None:
    """So many examples of each operation, beside those that cover its parameters, and the links between operations: no 5xx, no
    undocumented status, header, type or shape, nothing valid refused, nothing invalid accepted."""
    world = sample_world()
    world.limit = 1_000_000
    # Webhooks are tested against hosts that do not exist: a resolver that says so late must not hold it up.
    async with running(world, PATIENT, outbound=OutboundSettings(connect_timeout_s=0.2)) as daemon:
        with trio.fail_after(within_s):
            done = await trio.run_process(
                [
                    *(str(Path(sys.executable).with_name("st")), "run", f"{daemon.url}/docs/openapi.json"),
                    *("--checks", "all", "--max-examples", str(examples), "--seed", str(SEED), "--no-color"),
                    *("--continue-on-failure", "--generation-database", "none"),
                    *("-H", f"Authorization: Bearer {key}"),
                ],
                cwd=tmp_path,
                env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.http.openapi_formats", "PYTHONPATH": str(ROOT)},
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        text = done.stdout.decode() + done.stderr.decode()
        alive = (await daemon.client.get("/livez")).status_code

    counted = re.search(r"^ *([0-9,]+) generated", text, re.MULTILINE)
    assert done.returncode == 0, text[-8000:]
    assert counted is not None, text[-2000:]
    print(f"E7: {counted[1]} cases, all checks, up to {examples} examples an operation, seed {SEED}: no failure")
    assert alive == 200
    assert daemon.system.snapshot("/http").restarts == 0
