"""Fixtures for every test directory."""

from __future__ import annotations

from hypothesis import settings

from tests.support.deadline import pytest_runtest_call, pytest_runtest_setup, pytest_runtest_teardown
from tests.support.leftovers import no_process_is_left
from tests.support.postgres import database, empty_dsn, postgres_dsn, postgres_server

# How long an example takes depends on the machine.
settings.register_profile("wasup", deadline=None)
settings.load_profile("wasup")

__all__ = ["database", "empty_dsn", "no_process_is_left", "postgres_dsn", "postgres_server"]
__all__ += ["pytest_runtest_call", "pytest_runtest_setup", "pytest_runtest_teardown"]
