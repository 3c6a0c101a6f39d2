"""Copies an engine process's standard error to the log, line by line, redacted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from config.engine_log_redaction import redact
from config.json_text import read_json


class EngineLine(msgspec.Struct, frozen=True):
    """A line of the engine's own log."""

    level: str
    logger: str
    text: str
    company: str | None = None
    lost: int = 0
    """How many lines before this one the engine could not print."""


async def forward_output(
    process: subprocess.Popen[bytes], log: Any, *, max_line_bytes: int, count_lost: Callable[[int], object]
) -> None:
    """Log standard error until it ends. Long lines are cut; ``count_lost`` gets the number of lines that the process could not print."""
    assert process.stderr is not None
    pipe = trio.lowlevel.FdStream(os.dup(process.stderr.fileno()))
    rest = b""
    async with pipe:
        async for chunk in pipe:
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:max_line_bytes]
            for line in lines:
                _log_line(line[:max_line_bytes], log, count_lost)
    _log_line(rest, log, count_lost)


def _log_line(line: bytes, log: Any, count_lost: Callable[[int], object]) -> None:
    if not line.strip():
        return
    try:
        said = read_json(line, EngineLine)
    except (msgspec.DecodeError, msgspec.ValidationError):  # a Go panic is bare text
        text = redact(line.decode(errors="replace").rstrip())
        if text:  # empty when the line held only a secret
            log.warning("engine_output", line=text)
        return
    write = {"debug": log.debug, "info": log.info, "warning": log.warning, "error": log.error}.get(said.level, log.info)
    if said.lost:
        count_lost(said.lost)
    write("engine_output", logger=said.logger, company_id=said.company, line=redact(said.text))
