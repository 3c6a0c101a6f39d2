"""Random test runs: each prints its seed, so that it can be repeated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random, SystemRandom
from typing import TypeVar

T = TypeVar("T")


def chosen_seed() -> int:
    """``SEED`` of ``make chaos``, or else a new one."""
    return int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(1_000_000))


def pick(random: Random, options: Sequence[T]) -> T:
    """One of the options. `Random.choice` consumes more or less of the generator's state by their number, so that what is drawn next would
    depend on how many processes happened to run."""
    return options[int(random.random() * len(options))]


def fork(random: Random) -> Random:
    """A generator of its own for a part that draws a varying number of times."""
    return Random(random.getrandbits(64))
