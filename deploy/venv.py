"""Makes and renews the virtual environment in ``.venv``: ``python3 deploy/venv.py run`` or ``… dev`` (with the tests' tools).

Everything is pinned by constraints.txt, must have a digest of hashes.txt, and comes from whatever package index pip is configured to use.
Nothing is done when the environment already is what pyproject.toml and constraints.txt ask for. Runs on the standard library alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
INPUTS = ("pyproject.toml", "constraints.txt", "hashes.txt", "deploy/venv.py")
OLDEST = (3, 11)
EVERY_S = 15.0
"""How often progress is said where it is no terminal."""
AWAY = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ConnectionError",
    "ProxyError",
    "Max retries exceeded",
    "SSLError",
)
"""What pip says when it cannot reach its index."""


def main() -> int:
    """Exit code 0 when the environment is as asked for."""
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind not in {"run", "dev"}:
        print("usage: deploy/venv.py run|dev", file=sys.stderr)
        return 2
    if sys.version_info < OLDEST:
        print(f"wasup needs Python {OLDEST[0]}.{OLDEST[1]} or later", file=sys.stderr)
        return 1
    try:
        with (ROOT / ".venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` may be started together
            renew(kind)
    except subprocess.CalledProcessError as error:
        print(f"deploy/venv.py: {' '.join(error.cmd)} failed with code {error.returncode}", file=sys.stderr)
        return 1
    return 0


def renew(kind: str) -> None:
    """Install what ``kind`` needs unless it is there."""
    wanted = fingerprint()
    if not is_ours():
        make()
    stamps = {each: VENV / f".installed-{each}" for each in ("run", "dev")}
    # What is installed for `dev` serves `run`.
    if any(stamps[each].is_file() and stamps[each].read_text() == wanted for each in {kind, "dev"}):
        return
    for stamp in stamps.values():
        stamp.unlink(missing_ok=True)
    install(kind)
    stamps[kind].write_text(wanted)


def fingerprint() -> str:
    """Changes when anything that decides what is installed does."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_ours() -> bool:
    """Whether .venv is a working environment that was made here and not copied or moved from elsewhere."""
    code = f"import sys, pip; print(sys.prefix, sys.version_info >= {OLDEST})"
    try:
        answer = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.strip() == f"{VENV} True"


def make() -> None:
    """Make .venv anew."""
    try:
        import ensurepip as _ensurepip  # noqa: F401
    except ImportError:
        print("this Python cannot make virtual environments; on Debian: apt-get install python3-venv", file=sys.stderr)
        raise subprocess.CalledProcessError(1, [sys.executable, "-m", "venv"]) from None
    say(f"making {VENV} with Python {sys.version.split()[0]}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)


def install(kind: str) -> None:
    """Bring pip itself to its pinned version, which knows dependency groups, then everything else, then this project as it lies here.

    What a package needs to be built is held to the same digests.
    """
    files = [str(ROOT / name) for name in ("constraints.txt", "hashes.txt")]
    pinned = [word for name in files for word in ("--constraint", name)]
    to_build = [word for name in files for word in ("--build-constraint", name)]
    say("installing pinned packages (a minute or two the first time)")
    # A file of its own: the pip that came with Python may be one that does not know digests of constraints.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as itself:
        itself.write(with_digests("pip"))
        itself.flush()
        pip(["--require-hashes", "--requirement", itself.name])
    group = ["--group", "dev"] if kind == "dev" else []
    pip(["--require-hashes", *pinned, *to_build, *group, *dependencies()])
    pip(["--no-deps", *to_build, "--editable", str(ROOT)])


def with_digests(name: str) -> str:
    """The entry of hashes.txt for one package, as a requirement."""
    entries = re.split(r"\n(?=\S)", (ROOT / "hashes.txt").read_text())
    return next(entry for entry in entries if entry.startswith(f"{name}=="))


def dependencies() -> list[str]:
    """What pyproject.toml asks for at run time."""
    asked: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return asked


def pip(words: list[str]) -> None:
    """``pip install`` with what it reads from the environment, except what would send packages elsewhere.

    Says how far it is. When it fails, what pip said is shown, and in a sentence what to do where the index cannot be reached.
    """
    elsewhere = {"PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PIP_QUIET"}
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    environment["PIP_ROOT_USER_ACTION"] = "ignore"
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off", *words]
    progress = Progress(sys.stderr)
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = [progress.note(line) for line in process.stdout]
    progress.end()
    if process.returncode:
        sys.stderr.writelines(said)
        if any(sign in line for line in said for sign in AWAY):
            say(
                "the package index cannot be reached: check the internet connection, and what `pip config list` says of index and proxy"
            )
        raise subprocess.CalledProcessError(process.returncode, ["pip", "install"])


class Progress:
    """Which package pip is at: one line that is replaced on a terminal, elsewhere a line now and then."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._packages = 0
        self._written_at = time.monotonic()

    def note(self, line: str) -> str:
        """Take a line of pip's; returns it."""
        doing, _, what = line.strip().partition(" ")
        if doing in {"Collecting", "Installing"}:
            self._packages += doing == "Collecting"
            name = re.split(r"[^\w.-]", what, maxsplit=1)[0]
            self._write(f"{self._packages} packages, {doing.lower()} {name if doing == 'Collecting' else 'all'} …")
        elif "Retrying" in line:
            self._write("the package index does not answer, trying again …", at_once=True)
        return line

    def end(self) -> None:
        """Take the line away."""
        if self._output.isatty():
            self._output.write("\r\x1b[K")

    def _write(self, text: str, *, at_once: bool = False) -> None:
        if self._output.isatty():
            self._output.write(f"\r\x1b[Kdeploy/venv.py: {text}")
        elif at_once or time.monotonic() - self._written_at >= EVERY_S:
            self._written_at = time.monotonic()
            self._output.write(f"deploy/venv.py: {text}\n")
        self._output.flush()


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"deploy/venv.py: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
