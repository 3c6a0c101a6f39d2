"""``python -m benchmarks NAME [arguments]``: run one benchmark; ``all`` runs every one with its defaults, except the soak.

A benchmark is a module of this package with ``main(arguments: Sequence[str]) -> int``: it prints its figures and returns an exit status, 1
when a bar of the project was missed.
"""

from __future__ import annotations

import pkgutil
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType
from typing import Final

import benchmarks

WRONG_USAGE: Final = 2
TERMINATED: Final = 128 + signal.SIGTERM
_APART: Final = ("soak",)
"""Benchmarks that ``all`` leaves out: the soak takes an hour."""

Benchmark = Callable[[Sequence[str]], int]


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks that the first argument names. Return the highest exit status."""
    try:
        known = _benchmarks()
    except ModuleNotFoundError as error:
        print(
            f"{error.name} is not installed: benchmarks use the tests' tools; run: python3 deploy/venv.py dev",
            file=sys.stderr,
        )
        return WRONG_USAGE
    name, *rest = arguments or ("",)
    if name == "all" and not rest:
        return max((_run_titled(each, run) for each, run in known.items() if each not in _APART), default=0)
    if name not in known:
        print(f"usage: python -m benchmarks NAME [arguments]; NAME is one of: {', '.join(known)}, all", file=sys.stderr)
        return WRONG_USAGE
    return known[name](rest)


def _benchmarks() -> dict[str, Benchmark]:
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__"]
    modules = {name: import_module(f"benchmarks.{name}") for name in sorted(names)}
    return {name: module.main for name, module in modules.items() if hasattr(module, "main")}


def _end_in_order_when_terminated() -> None:
    """Have SIGTERM end a run as Ctrl-C does, by leaving its blocks: the daemon and the other processes it started end with it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Another SIGTERM must not interrupt the code that ends them.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, interrupt)
    # A shell's background jobs ignore SIGINT, so trio would not get it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _run_titled(name: str, run: Benchmark) -> int:
    print(f"== {name}", flush=True)
    return run(())


if __name__ == "__main__":
    _end_in_order_when_terminated()
    status = TERMINATED
    try:
        status = main(sys.argv[1:])
    except* KeyboardInterrupt:  # nurseries may have put it into a group
        pass  # do not exit here: Python would put SystemExit into a group
    sys.exit(status)
