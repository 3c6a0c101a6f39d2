"""Database URLs for PostgreSQL's own programs."""

from __future__ import annotations

import pytest

from storage.libpq import variables


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://", {}),
        ("postgresql:///wasup", {"PGDATABASE": "wasup"}),
        ("postgres://db.example/wasup", {"PGHOST": "db.example", "PGDATABASE": "wasup"}),
        (
            "postgresql://was%40up:p%3Aw%2F@db.example:6432/my%20db?sslmode=verify-full&application_name=w",
            {
                "PGUSER": "was@up", "PGPASSWORD": "p:w/", "PGHOST": "db.example", "PGPORT": "6432", "PGDATABASE": "my db",
                "PGSSLMODE": "verify-full", "PGAPPNAME": "w",
            },
        ),
        (
            "postgresql://postgres@/postgres?host=%2Fvar%2Flib%2Fwasup&port=5432",
            {"PGUSER": "postgres", "PGHOST": "/var/lib/wasup", "PGPORT": "5432", "PGDATABASE": "postgres"},
        ),
        (
            "postgresql://u@a.example:1,[::1]:2/d?target_session_attrs=primary",
            {"PGUSER": "u", "PGHOST": "a.example,::1", "PGPORT": "1,2", "PGDATABASE": "d", "PGTARGETSESSIONATTRS": "primary"},
        ),
        ("postgresql://h/d?user=u&dbname=e", {"PGHOST": "h", "PGUSER": "u", "PGDATABASE": "e"}),
    ],
)  # fmt: skip
def test_the_same_database_by_environment_variables(dsn: str, expected: dict[str, str]) -> None:
    """Every part that is there, decoded; what is not there is left to libpq's defaults."""
    assert variables(dsn) == expected


def test_a_parameter_without_a_variable_is_refused() -> None:
    """Its name is said; the password is not."""
    with pytest.raises(ValueError, match=r"no environment variable for statement_cache_size$"):
        variables("postgresql://u:hunter2@h/d?statement_cache_size=0")
