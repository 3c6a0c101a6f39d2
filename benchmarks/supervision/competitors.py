"""Pykka and triotp, measured in processes of their own between the rounds. A library that is left out has a reason."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
ENVIRONMENT: Final = ROOT / ".venv-peers"
"""triotp for Python 3.11 needs a trio on which the core does not run, so it has an environment to itself."""
ROUND_TIMEOUT_S: Final = 300
INSTALL_TIMEOUT_S: Final = 600


class Competitors:
    """``pythons`` maps each library to its interpreter. `round` measures each once. A library that fails is left out from then on."""

    def __init__(self, pythons: Mapping[str, Path]) -> None:
        self._pythons = dict(pythons)
        self._figures: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
        self.left_out: dict[str, str] = {}
        """The reason, by name."""

    def round(self) -> None:
        """Measure each library once."""
        for name, python in tuple(self._pythons.items()):
            command = [str(python), str(HERE / "peers.py"), name]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ROUND_TIMEOUT_S)
            except (OSError, subprocess.SubprocessError) as error:
                self._leave_out(name, _why(error))
            else:
                self._figures[name].append(json.loads(done.stdout))

    def microseconds(self, name: str, measure: str) -> float | None:
        """Return the median of the rounds in microseconds; None when there is none."""
        taken = [figures[measure] for figures in self._figures.get(name, ()) if measure in figures]
        return statistics.median(taken) if taken else None

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out[name] = why
        self._figures[name].clear()
        del self._pythons[name]


def competitors(*, install: bool) -> Competitors:
    """Return Pykka from this environment, and triotp from its own, which is made now if it is missing and ``install`` is set."""
    python = ENVIRONMENT / "bin" / "python"
    reason = None
    if install and not _has_triotp(python):
        reason = _install(python)
    pythons = {"pykka": Path(sys.executable)}
    if reason is None and _has_triotp(python):
        pythons["triotp"] = python
    found = Competitors(pythons)
    if "triotp" not in pythons:
        found.left_out["triotp"] = reason or f"no environment with it in {ENVIRONMENT.name}; --peers makes one"
    return found


def _has_triotp(python: Path) -> bool:
    try:
        return not subprocess.run([python, "-c", "import triotp"], capture_output=True, check=False).returncode
    except OSError:
        return False


def _install(python: Path) -> str | None:
    """Make the environment. Return why that failed; None when it did not."""
    print(f"making {ENVIRONMENT.name} with triotp", file=sys.stderr, flush=True)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-r", str(HERE / "peers.txt")]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        return _why(error)
    return None


def _why(error: OSError | subprocess.SubprocessError) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
    return said.strip().splitlines()[-1] if said and said.strip() else str(error)
