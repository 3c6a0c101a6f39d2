"""Log lines."""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from config.errors import ConfigError
from config.log_fields import FIELDS
from config.log_records import LibraryHandler
from config.logging import LineWriter, configure, logger
from config.sections import LogSettings
from config.settings import LogLevel

MOST_CHARS = 80


@pytest.fixture
def output() -> Iterator[io.BytesIO]:
    """The stream for lines; logging is restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.BytesIO()
    configure("debug", LogSettings(max_value_chars=MOST_CHARS, repeat_interval_s=10.0), stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line(output: io.BytesIO) -> None:
    """One JSON object with time, level, logger, event and fields."""
    logger("actors.company").info("connected", company_id="962302", seconds=0.5, state=None)

    (line,) = lines(output)
    assert line.pop("timestamp").endswith("Z")
    expected = {
        "level": "info",
        "logger": "actors.company",
        "event": "connected",
        "company_id": "962302",
        "seconds": 0.5,
        "state": None,
    }
    assert expected == line


def test_fields_that_are_not_listed_are_not_logged(output: io.BytesIO) -> None:
    """Neither their text nor their number; the line says that a field was there."""
    logger("x").info("sent", text="dear customer", secret_number=42, payload={"a": "dear customer"})

    (line,) = lines(output)
    assert line["text"] == "[not listed: str]"
    assert line["secret_number"] == "[not listed: int]"
    assert b"dear customer" not in output.getvalue()
    assert b"42" not in output.getvalue().partition(b"secret_number")[2]


def test_listed_fields_are_made_fit(output: io.BytesIO) -> None:
    """Phones are shortened in text and in numbers, bytes never appear, long text is cut, names are kept whole."""
    logger("x").info(
        "to 79000000001",
        phone=79000000001,
        reason="79000000001",
        company_id="79000000001",
        line=b"79000000001",
        why="x" * 500,
        path=["/a", b"secret"],
    )

    (line,) = lines(output)
    assert line["event"] == "to 7900…01"
    assert (line["phone"], line["reason"], line["company_id"]) == ("7900…01", "7900…01", "79000000001")
    assert line["line"] == "[bytes]"
    assert len(line["why"]) == 81
    assert line["path"] == ["/a", "[bytes]"]


def test_x9_no_field_breaks_the_line(output: io.BytesIO) -> None:
    """Line ends in events, values and logger names stay inside their JSON string."""
    logger("x\ny").info("a\r\nb", reason='c\n{"level":"error"}', why="\u2028\u0085")

    assert len(output.getvalue().splitlines()) == 1
    assert len(output.getvalue().decode().splitlines()) == 1


@pytest.mark.parametrize("name", [*FIELDS, "not_a_listed_field"])
def test_x9_whatever_a_field_holds_its_line_is_one_line(output: io.BytesIO, name: str) -> None:
    """Line ends, a forged line and a megabyte in each field: one JSON object, cut to its length."""
    forged = '"}\r\n{"level":"error","event":"forged"}\n\x00\x85\u2028'
    for value in (forged, "a" * 1_000_000, forged * 20_000, [forged] * 1_000, {forged: forged}):
        logger("x").info("told", **{name: value})

    found = lines(output)
    assert [line["event"] for line in found] == ["told"] * 5
    assert all({"timestamp", "level", "logger", "event", name} == set(line) for line in found)
    longest = max(len(line) for line in output.getvalue().splitlines())
    assert longest < 25 * MOST_CHARS * 6  # a list of 20 values; a character is six at most when it is escaped
    assert len(output.getvalue().decode().splitlines()) == 5


def test_exceptions(output: io.BytesIO) -> None:
    """Type, scrubbed text, frames and cause; a foreign text without its quotations, our own with them."""
    try:
        try:
            dict[str, str]()["dear customer"]
        except KeyError as error:
            raise ConfigError("company '962302' at 79000000001\nmore") from error
    except ConfigError:
        logger("x").exception("failed")

    (line,) = lines(output)
    described = line["exception"]
    assert described["type"] == "config.errors.ConfigError"
    assert described["text"] == "company '962302' at 7900…01"
    assert described["frames"][-1].endswith("test_exceptions")
    assert (described["cause"]["type"], described["cause"]["text"]) == ("builtins.KeyError", "'…'")
    assert b"dear customer" not in output.getvalue()


def test_formatted_tracebacks_and_crashes(output: io.BytesIO) -> None:
    """Of a traceback that comes as text, only the places are kept; of a crash, no quotation."""
    with pytest.raises(KeyError) as caught:
        dict[str, str]()["dear customer"]
    formatted = "".join(traceback.format_exception(caught.value))
    logger("x").warning(
        "crashed", traceback=formatted, crash="KeyError: 'dear customer'", reason="WhatsApp's end, it's b'x'"
    )

    (line,) = lines(output)
    assert line["traceback"][0].endswith("test_formatted_tracebacks_and_crashes")
    assert line["crash"] == "KeyError: '…'"
    assert line["reason"] == "WhatsApp's end, it's '…'"
    assert b"dear customer" not in output.getvalue()


def test_exception_groups(output: io.BytesIO) -> None:
    """The members are described, a few levels deep."""
    logger("x").error("failed", exc_info=ExceptionGroup("two", [ValueError("a"), ExceptionGroup("in", [OSError("b")])]))

    members = lines(output)[0]["exception"]["members"]
    assert [member["type"] for member in members] == ["builtins.ValueError", "builtins.ExceptionGroup"]
    assert members[1]["members"][0]["type"] == "builtins.OSError"


def test_an_exception_without_text_does_not_stop_the_log(output: io.BytesIO) -> None:
    """A broken __str__ is named."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    logger("x").error("failed", exc_info=BrokenError())

    assert lines(output)[0]["exception"]["text"] == "[no text: RuntimeError]"


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(output: io.BytesIO, level: LogLevel, expected: int) -> None:
    """Lines below the level are not written."""
    configure(level, output=output)
    log = logger("x")
    for write in (log.debug, log.info, log.warning, log.error):
        write("line")

    assert expected == len(lines(output))


def test_libraries_are_heard_from_warning_on(output: io.BytesIO) -> None:
    """Lower levels may quote the messages that libraries carry; what they do log is scrubbed like ours."""
    library = logging.getLogger("some.library")
    library.debug("frame: dear customer")
    library.info("frame: dear customer")
    library.warning("lost %s\nsecond line", "79000000001")

    (line,) = lines(output)
    assert (line["logger"], line["event"], line["level"]) == ("some.library", "lost 7900…01", "warning")


def test_a_record_that_cannot_be_formatted(output: io.BytesIO) -> None:
    """It is reported without its arguments."""
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%d", ("dear customer",), None)

    # Not through the logger: pytest's own handler raises on such a record.
    logging.getLogger().handlers[0].emit(record)

    assert lines(output)[0]["event"] == "[a record that cannot be formatted]"


def test_repeated_records_are_counted_instead_of_written(output: io.BytesIO) -> None:
    """One of a kind in an interval; the next says how many were left out. Other kinds are not affected."""
    now = [0.0]
    written: list[bytes] = []
    handler = LibraryHandler(
        [lambda _logger, _name, event: json.dumps(event).encode()],
        written.append,
        repeat_interval_s=10.0,
        clock=lambda: now[0],
    )
    pool, other = (logging.LogRecord(name, 30, "", 0, "failed %d", (1,), None) for name in ("pool", "other"))
    for now[0] in (0.0, 1.0, 9.9):
        handler.emit(pool)
    handler.emit(other)
    now[0] = 10.0
    handler.emit(pool)

    found = [json.loads(line) for line in written]
    assert [(e["logger_name"], e.get("suppressed")) for e in found] == [("pool", None), ("other", None), ("pool", 2)]


def test_a_log_that_cannot_be_written_is_no_reason_to_stop() -> None:
    """The line is lost and counted."""
    stream = io.BytesIO()
    writer = LineWriter(stream)
    stream.close()

    writer.msg(b"line")

    assert writer.lost == 1
