"""The project's own files, as the packaging tests read them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("supervisor", "actors", "storage", "config")


def pyproject() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def constraints() -> dict[str, Requirement]:
    """constraints.txt by canonical name."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines if line}


def pinned_version(requirement: Requirement) -> str | None:
    """The version of ``name==version``; None for anything else."""
    found = re.fullmatch(r"==([^*,]+)", str(requirement.specifier))
    return None if found is None else found[1]


def files() -> list[Path]:
    """The files of the repository; without one, those beside this file that are no product of a tool."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file() and not _is_product(path.relative_to(ROOT))]
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def _is_product(path: Path) -> bool:
    return any(part.startswith(".") or part in {"__pycache__", "node_modules"} for part in path.parts)
