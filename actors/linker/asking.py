"""Requests to WhatsApp with their answers, over a stream that one task reads."""

from __future__ import annotations

import secrets
from typing import Final, Literal, final

import trio

from actors.linker.wire.jid import SERVER, Jid
from actors.linker.wire.nodes import Node
from actors.linker.wire.stream import NodeStream, StreamLost

ANSWER_S: Final = 20.0


class NotAnswered(Exception):
    """WhatsApp refused a request, or did not answer in time."""


@final
class Asking:
    """Numbers requests and matches answers."""

    def __init__(self, stream: NodeStream) -> None:
        self._stream = stream
        self._prefix = f"{secrets.randbelow(100_000)}.{secrets.randbelow(100_000)}-"
        self._last = 0
        self._waiting: dict[str, trio.Event] = {}
        self._answers: dict[str, Node] = {}

    async def ask(
        self,
        content: Node | None,
        *,
        kind: Literal["get", "set"] = "set",
        namespace: str = "md",
        within_s: float = ANSWER_S,
    ) -> Node:
        """Send a request and return its result. Raise `NotAnswered`."""
        self._last += 1
        id_ = f"{self._prefix}{self._last}"
        answered = self._waiting[id_] = trio.Event()
        attrs: dict[str, str | Jid] = {"id": id_, "xmlns": namespace, "type": kind, "to": SERVER}
        try:
            with trio.move_on_after(within_s):
                await self._stream.send(Node("iq", attrs, None if content is None else (content,)))
                await answered.wait()
            return _result(self._answers.get(id_), within_s)
        except StreamLost as error:
            raise NotAnswered(str(error)) from error
        finally:
            del self._waiting[id_]
            self._answers.pop(id_, None)

    def take(self, answer: Node) -> bool:
        """Take a node; return whether it answers a waiting request."""
        id_ = answer.text("id", "")
        waiting = self._waiting.get(id_)
        if waiting is None or answer.text("type", "") not in ("result", "error"):
            return False
        self._answers[id_] = answer
        waiting.set()
        return True


def _result(answer: Node | None, within_s: float) -> Node:
    if answer is None:
        raise NotAnswered(f"WhatsApp did not answer within {within_s:.0f} s")
    if answer.text("type", "") == "error":
        error = answer.find("error")
        code, text = ("", "") if error is None else (error.text("code", ""), error.text("text", ""))
        raise NotAnswered(f"WhatsApp refused it: {code} {text[:100]}".rstrip())
    return answer
