"""The form of a company's id: 1 to 64 characters of A-Z a-z 0-9 _ and -, in every place that takes one."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def is_company_id(text: str) -> bool:
    """Return whether ``text`` has the form of a company id. Whether there is such a company is another question."""
    return _FORM.fullmatch(text) is not None
