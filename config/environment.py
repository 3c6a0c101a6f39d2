"""What of the daemon's environment its child processes may see."""

from __future__ import annotations

from collections.abc import Mapping

from config.fields import all_fields

_HIDDEN = frozenset({"WASUP_KEY", "WASUP_MASTER_KEY_FILE", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"})


def environment_for_children(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy without the daemon's secrets, the way to its database and its service manager's socket; the host's proxy and CA settings
    stay.
    """
    hidden = _HIDDEN | {field.env for field in all_fields() if field.is_secret}
    return {name: value for name, value in environment.items() if name not in hidden and not name.startswith("PG")}
