"""The form of a company's id, the same in every place: 1 to 64 characters of A-Z a-z 0-9 _ and -."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def is_company_id(text: str) -> bool:
    """Return whether ``text`` has the form of a company id. Whether the company exists is not checked."""
    return _FORM.fullmatch(text) is not None
