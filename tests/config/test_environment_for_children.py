"""What child processes get of the environment."""

from __future__ import annotations

from config.fields import environment_for_children


def test_secrets_stay_with_the_daemon() -> None:
    """The daemon's secrets, its database's address and its service manager's socket are removed; the host's settings stay."""
    host = {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://h:1",
        "SSL_CERT_FILE": "/ca.pem",
        "PYTHONPATH": "/p",
        "WASUP_LOG_LEVEL": "info",
    }
    secrets = dict.fromkeys(
        (
            "DATABASE_URL",
            "REDIS_URL",
            "WASUP_PROXY",
            "WASUP_PROXIES",
            "WASUP_KEY",
            "CREDENTIALS_DIRECTORY",
            "NOTIFY_SOCKET",
            "WASUP_MASTER_KEY_FILE",
            "PGPASSWORD",
            "PGHOST",
        ),
        "x",
    )

    assert host == environment_for_children(host | secrets)
