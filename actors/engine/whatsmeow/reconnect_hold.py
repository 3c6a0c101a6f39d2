"""Keeps the library from dialling again by itself.

When a socket is lost, the library begins the next dial at once, and a client that dials cannot be stopped: it holds its lock until the
dial is over. With one company that is a moment. When WhatsApp drops a thousand companies together, all dial at once, few dials end before
the session stops its client, and a company whose client cannot be stopped gets no other (actors/engine/host.py). So the thread that has
seen the loss is held while it logs the loss, before the library acts on it; meanwhile the client is stopped, and has nothing left to do.

After stream error 515, which ends linking, the thread is not held: there WhatsApp has told the library to dial. Pure.
"""

from __future__ import annotations


def is_socket_lost(logger: str, text: str) -> bool:
    """Whether the line says that nothing more will be read from a client's socket."""
    return logger.endswith("/Socket") and text.startswith("Frame websocket read pump exiting")


def is_restarting(text: str) -> bool:
    """Whether the library is about to close its socket and dial again on WhatsApp's request."""
    return text.startswith("Got 515 code")
