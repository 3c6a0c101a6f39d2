"""Creating and stopping clients takes turns; calls never begin meanwhile."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from actors.engine.whatsmeow import events
from actors.engine.whatsmeow.client_map_lock import SETTLE_S, ClientMapLock
from actors.engine.whatsmeow.library import Callbacks, Library
from actors.engine.whatsmeow.log_lines import is_from_known_client


def test_a_maker_waits_until_the_last_call_has_passed_the_map() -> None:
    """The look-up is a call's first instruction, but it must have happened."""
    now = [100.0]
    slept: list[float] = []
    client_map_lock = ClientMapLock(clock=lambda: now[0], sleep=slept.append)
    client_map_lock.begin_call()
    now[0] += SETTLE_S / 4

    with client_map_lock.making():
        pass

    assert [round(seconds, 6) for seconds in slept] == [round(SETTLE_S * 3 / 4, 6)]


def test_a_maker_does_not_wait_for_calls_long_under_way() -> None:
    """A call that hangs for a minute delays no other call."""
    now = [100.0]
    slept: list[float] = []
    client_map_lock = ClientMapLock(clock=lambda: now[0], sleep=slept.append)
    client_map_lock.begin_call()
    now[0] += 60

    with client_map_lock.making():
        pass

    assert slept == []


def test_no_call_begins_while_a_maker_works() -> None:
    """It waits for the maker, then goes."""
    client_map_lock = ClientMapLock()
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def make() -> None:
        with client_map_lock.making():
            inside.set()
            go_on.wait(5)
            order.append("made")

    def call() -> None:
        client_map_lock.begin_call()
        order.append("called")

    maker = threading.Thread(target=make)
    maker.start()
    inside.wait(5)
    caller = threading.Thread(target=call)
    caller.start()
    go_on.set()
    maker.join()
    caller.join()

    assert order == ["made", "called"]


def test_the_library_s_first_line_of_a_client_comes_when_it_is_noted(library: Library, tmp_path: Path) -> None:
    """The real one logs that it dials, with the client's logger, which it makes after all its writes to its maps."""
    lines: list[tuple[str, str]] = []
    callbacks = Callbacks(
        lambda code: None,
        lambda status: None,
        lambda number, data: None,
        lambda level, logger, text: lines.append((logger, text)),
    )
    with socket.socket() as nobody:  # bound, not listening: the dial is refused
        nobody.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        error = library.run("962302#gate", str(tmp_path / "gate.db"), proxy, "wasup", events.SUBSCRIBED, callbacks)
    library.stop("962302#gate")

    assert "connection refused" in error
    assert is_from_known_client(lines[0][0])
    assert lines[0][1].startswith("Dialing ")
