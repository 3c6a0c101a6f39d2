"""Redis' URLs: a URL that cannot be meant is refused, and no secret is repeated."""

from __future__ import annotations

import pytest

from config.values import parse_redis_url


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p%40ss%3Aw%2Frd%231@host:6379/0",
        "redis://user:a%2Fb%2Bc%3D@host/0",
        "rediss://host?ssl_ca_certs=/etc/ca.pem&db=2",
        "unix://:hunter2@/run/redis.sock?db=1",
    ],
)
def test_what_is_taken(url: str) -> None:
    """Passwords are percent-encoded, the database is a number."""
    assert parse_redis_url(url).reveal() == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:hunter2#1@host/0", "write redis://:password@host"),
        ("redis://:hunter2%@host/0", "a # or % that is not percent-encoded"),
        ("redis://:hunter2@host/zero", "the database of the URL is no number"),
        ("redis://:hunter2@host/0?timout=1", "(timout)"),
        ("unix://redis.sock", "names no socket"),
    ],
)
def test_what_is_refused(url: str, said: str) -> None:
    """In one sentence, at the start and by check-config."""
    with pytest.raises(ValueError, match="; ") as caught:
        parse_redis_url(url)

    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
