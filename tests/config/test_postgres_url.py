"""One reading of a database URL: parameters of libpq are kept or refused by name, and no URL has two meanings."""

from __future__ import annotations

import os
import pwd

import pytest

from config.libpq import PARAMETERS
from config.postgres_url import PostgresUrl, read

OWN = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    ("text", "hosts", "user", "password", "database"),
    [
        ("postgres://db.example/wasup", [("db.example", 5432)], OWN, None, "wasup"),
        ("postgresql://u@h", [("h", 5432)], "u", None, "u"),
        ("postgresql://was%40up:p%3Aw%2F+@h:6432/my%20db", [("h", 6432)], "was@up", "p:w/+", "my db"),
        ("postgresql://u@/d?host=%2Fvar%2Flib%2Fw&port=5433", [("/var/lib/w", 5433)], "u", None, "d"),
        ("postgresql://u@%2Fvar%2Flib%2Fw/d", [("/var/lib/w", 5432)], "u", None, "d"),
        ("postgresql://u@a:1,[::1]:2/d", [("a", 1), ("::1", 2)], "u", None, "d"),
        ("postgresql://u@a,b:2/d", [("a", 5432), ("b", 2)], "u", None, "d"),
        ("postgresql:///?host=a,b&port=7&user=u&dbname=e&password=p+q", [("a", 7), ("b", 7)], "u", "p+q", "e"),
        ("postgresql://h/d?user=u&dbname=d&host=h", [("h", 5432)], "u", None, "d"),
        ("postgresql://h/?database=e&user=u", [("h", 5432)], "u", None, "e"),
    ],
)
def test_what_a_url_names(
    text: str, hosts: list[tuple[str, int]], user: str, password: str | None, database: str
) -> None:
    """Every part, decoded as libpq does, wherever the URL has it; written out and read again it is the same."""
    url = read(text)

    assert (list(url.hosts), url.user, url.password, url.database) == (hosts, user, password, database)
    assert read(url.reveal()) == url


@pytest.mark.parametrize(
    ("query", "parameters", "is_pooled"),
    [
        ("connect_timeout=10", {"connect_timeout": "10"}, None),
        ("pgbouncer=true", {}, True),
        ("pgbouncer=false", {}, False),
        ("schema=public", {}, None),
        ("gssencmode=disable", {"gssencmode": "disable"}, None),
        ("keepalives=1&keepalives_idle=30", {"keepalives": "1", "keepalives_idle": "30"}, None),
        ("options=endpoint%3Dep-x", {"options": "endpoint=ep-x"}, None),
        ("sslmode=require&channel_binding=prefer", {"sslmode": "require", "channel_binding": "prefer"}, None),
        ("sslrootcert=system", {"sslmode": "verify-full", "sslrootcert": "system"}, None),
        ("sslmode=", {}, None),
    ],
)
def test_parameters_that_are_kept(query: str, parameters: dict[str, str], is_pooled: bool | None) -> None:
    """Those that hosts and other libraries put into URLs."""
    url = read(f"postgresql://u:p@h/db?{query}")

    assert (url.parameters, url.is_pooled) == (parameters, is_pooled)
    assert read(url.reveal()) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://u:hunter2@h/db?sslmode=require&channel_binding=require", "channel_binding can only be disable or prefer"),
        ("postgresql://h/d?sslmode=strict", "sslmode can only be disable"),
        ("postgresql://h/d?sslrootcert=system&sslmode=require", "write sslmode=verify-full"),
        ("postgresql://h/d?connect_timeout=soon", "connect_timeout is no number"),
        ("postgresql://h/d?gssencmode=require", "gssencmode can only be"),
        ("postgresql://h/d?target_session_attrs=standby", "name its primary"),
        ("postgresql://h/d?hostaddr=10.0.0.1", "hostaddr is not supported; write the address as the host"),
        ("postgresql://h/d?service=x", "service is not supported"),
        ("postgresql://h/d?schema=app", "schema can only be public"),
        ("postgresql://h/d?pgbouncer=perhaps", "pgbouncer can only be true or false"),
        ("postgresql://h/d?conect_timeout=1", "did you mean connect_timeout?"),
        ("postgresql://h/d?connection_limit=5", "set storage.pool_connections"),
        ("postgresql://h/d?dbname=e", "gives dbname twice"),
        ("postgresql://h/d?host=other", "gives host twice"),
        ("postgresql://u@h/d?user=v", "gives user twice"),
        ("postgresql://h/d?sslmode=require&sslmode=disable", "gives sslmode twice"),
        ("postgresql://u:hun@ter2@h/d", "write those of the user or password as %40"),
        ("postgresql://u:hunter2#@h/d", "write it as %23"),
        ("postgresql://u:hunter2/@h/d", "as %2F"),
        ("postgresql://u:hunter2?@h/d", "as %2F"),
        ("postgresql://u:hunter2%zz@h/d", "write it as %25"),
        ("postgresql://u:%ff@h/d", "no UTF-8"),
        ("postgresql://h:99999/d", "no number from 1 to 65535"),
        ("postgresql://a,,b/d", "a host is empty"),
        ("postgresql://u@/d?host=h:5433", "write a port as port"),
        ("postgresql:///d?host=a,b,c&port=1,2", "3 hosts and 2 ports"),
        ("postgresql://h/d?sslmode", "has no ="),
        ("mysql://h/d", "does not start with postgres://"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, said: str) -> None:
    """With the name of the part and what would be right; never with its value."""
    with pytest.raises(ValueError, match="; ") as caught:
        read(text)

    assert said in str(caught.value)
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_parameter_of_libpq_is_kept_or_refused_by_name(name: str) -> None:
    """None is ignored: a value that no parameter has is refused with the name, or kept."""
    text = f"postgresql://?{name}=%2Fx"
    if PARAMETERS[name].objection("/x") is not None or name == "port":
        with pytest.raises(ValueError, match=name):
            read(text)
    else:
        url = read(text)
        assert "/x" in {url.user, url.database, url.password, url.hosts[0][0], url.parameters.get(name)}


def test_the_environment_completes_a_url() -> None:
    """By libpq's variables, which PostgreSQL's own programs would use as well; the URL comes first."""
    environment = {
        "PGHOST": "a",
        "PGPORT": "7",
        "PGUSER": "u",
        "PGDATABASE": "e",
        "PGSSLMODE": "require",
        "PGAPPNAME": "",
    }

    assert read("postgresql:///d", environment) == PostgresUrl((("a", 7),), "u", "d", None, {"sslmode": "require"})
    assert read("postgresql:///d") != read("postgresql:///d", environment)


@pytest.mark.parametrize("variable", ["PGHOSTADDR", "PGSERVICE", "PGREQUIREAUTH"])
def test_a_variable_that_would_lead_elsewhere_is_refused(variable: str) -> None:
    """The error names it."""
    with pytest.raises(ValueError, match=f"the environment variable {variable} is not supported"):
        read("postgresql://h/d", {variable: "x"})


def test_no_secret_is_shown() -> None:
    """Nor does the object."""
    assert "hunter2" not in repr(read("postgresql://u:hunter2@h/d?sslpassword=hunter2"))
