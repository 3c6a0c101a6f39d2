"""The systemd unit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.project import ROOT

UNIT = ROOT / "deploy/wasup.service"
MOST_EXPOSURE = 15
"""Tenths; 92 is a unit without any protection."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def test_systemd_understands_it(tmp_path: Path) -> None:
    """Every directive is known and has a value that systemd takes."""
    unit = tmp_path / "wasup.service"
    # The program's path in the unit does not exist here; /bin/true is everywhere.
    unit.write_text(UNIT.read_text().replace("/opt/wasup/current/.venv/bin/wasup", "/bin/true"))

    done = analyze("verify", str(unit))

    assert (done.returncode, done.stderr) == (0, "")


def test_d6_it_stays_protected() -> None:
    """No change of the unit weakens its protection unnoticed."""
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(UNIT))

    assert done.returncode == 0, done.stdout[-500:]
    print(f"D6: {done.stdout.strip().splitlines()[-1].removeprefix(chr(0x2192)).strip()}")
