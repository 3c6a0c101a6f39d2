"""The server's refusal of a query."""

from __future__ import annotations


class RefusedQuestionError(Exception):
    """The server answers a query with this error."""

    def __init__(self, code: int, text: str) -> None:
        """``text`` is WhatsApp's own word for the code."""
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
