"""Installs pinned packages from npm into an ignored directory of the checkout, once per lock file: Baileys, and with other manifests more.

``python -m tests.loopback.node.install`` does it ahead of the tests and prints where.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SIX: Final = HERE / "six"
"""The manifests of Baileys 6, an installation of its own."""
CACHE: Final = HERE.parents[2] / ".cache" / "node"
MANIFESTS: Final = ("package.json", "package-lock.json")
OLDEST_NODE: Final = 20
BAILEYS: Final = "a real Baileys"
INSTALL_TIMEOUT_S: Final = 300
COMMAND: Final = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=peer")


class NodeMissingError(Exception):
    """This machine has no Node or no npm, or one that is too old."""


class InstallError(Exception):
    """npm failed; the text is its output."""


def require_node(user: str = BAILEYS) -> None:
    """Raise NodeMissingError unless node (20 or newer) and npm are on the PATH; its text says that ``user`` needs them."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NodeMissingError(f"{program} is not installed: {user} needs Node {OLDEST_NODE}+ and npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        raise NodeMissingError(f"node is {version}: {user} needs {OLDEST_NODE} or newer")


def installed(cache: Path = CACHE, manifests: Path = HERE, user: str = BAILEYS) -> Path:
    """The directory that holds ``node_modules``, installing it first when needed; NodeMissingError or InstallError."""
    require_node(user)
    target = cache / _fingerprint(manifests)
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _install(cache, target, manifests)
    return target


def _fingerprint(directory: Path) -> str:
    manifests = b"".join((directory / name).read_bytes() for name in MANIFESTS)
    return hashlib.sha256(manifests + " ".join(COMMAND).encode()).hexdigest()[:16]


def _install(cache: Path, target: Path, manifests: Path) -> None:
    """Install beside the target and rename: a broken or parallel installation is never taken for a whole one."""
    with tempfile.TemporaryDirectory(dir=cache, prefix="installing-") as temporary:
        workplace = Path(temporary) / "node"
        workplace.mkdir()
        for name in MANIFESTS:
            shutil.copy(manifests / name, workplace)
        done = subprocess.run(
            COMMAND, cwd=workplace, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise InstallError(f"{' '.join(COMMAND)} failed ({done.returncode}):\n{done.stderr.strip()}")
        if not target.exists():
            workplace.rename(target)


if __name__ == "__main__":
    print(installed())
    print(installed(manifests=SIX))
