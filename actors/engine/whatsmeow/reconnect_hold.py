"""Keeps the library from dialling again by itself.

When a socket is lost, the library begins the next dial at once, and a client that dials cannot be stopped: it holds its lock until the dial
is over. With one company that is a moment. With a thousand, whom WhatsApp drops together, all of them dial at once, hardly any is through
before its session wants to stop it, and a company whose client cannot be stopped gets no other (actors/engine/host.py). So the thread that
has seen the loss is held where it says so, before the library hears of it; the client is stopped meanwhile, and finds nothing left to do.

Not so after stream error 515, which ends linking: there the library dials because WhatsApp told it to. Pure.
"""

from __future__ import annotations


def is_socket_lost(logger: str, text: str) -> bool:
    """Whether the line says that nothing more will be read from a client's socket."""
    return logger.endswith("/Socket") and text.startswith("Frame websocket read pump exiting")


def is_restarting(text: str) -> bool:
    """Whether the library is about to close its socket and dial again on WhatsApp's request."""
    return text.startswith("Got 515 code")
