"""The machine that tests of an installation begin with."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.systemd.machine import CannotBootError, Machine, booted


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Machine]:
    """Booted, without any file of wasup."""
    try:
        with booted(tmp_path_factory.mktemp("machine")) as machine:
            yield machine
    except CannotBootError as error:
        pytest.skip(f"no machine for systemd: {error}")
