"""Database URLs for PostgreSQL's own programs."""

from __future__ import annotations

import pytest

from config.postgres_url import read
from storage.database.libpq import variables, without_variables


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u@h", {"PGHOST": "h", "PGPORT": "5432", "PGUSER": "u", "PGDATABASE": "u"}),
        (
            "postgresql://was%40up:p%3Aw%2F@db.example:6432/my%20db?sslmode=verify-full&application_name=w",
            {
                "PGUSER": "was@up", "PGPASSWORD": "p:w/", "PGHOST": "db.example", "PGPORT": "6432", "PGDATABASE": "my db",
                "PGSSLMODE": "verify-full", "PGAPPNAME": "w",
            },
        ),
        (
            "postgresql://u@a.example:1,[::1]:2/d?target_session_attrs=primary&keepalives_idle=30&pgbouncer=true",
            {
                "PGUSER": "u", "PGHOST": "a.example,::1", "PGPORT": "1,2", "PGDATABASE": "d",
                "PGTARGETSESSIONATTRS": "primary",
            },
        ),
    ],
)  # fmt: skip
def test_the_same_database_by_environment_variables(dsn: str, expected: dict[str, str]) -> None:
    """Every part that determines the database and the way to it, defaults included."""
    assert variables(read(dsn)) == expected


def test_a_parameter_without_a_variable_is_refused() -> None:
    """The error has its name, not its value."""
    with pytest.raises(ValueError, match=r"no environment variable for sslpassword$"):
        variables(read("postgresql://u@h/d?sslpassword=hunter2"))


def test_an_environment_without_a_database() -> None:
    """Variables of libpq that would lead elsewhere are removed, others stay."""
    assert without_variables({"PGHOSTADDR": "10.0.0.1", "PGSERVICE": "x", "PATH": "/bin"}) == {"PATH": "/bin"}
