"""The child process with bare neonize: the tests' group of clients, and a call that sends many texts without further messages.

Run as ``python -m benchmarks.api.bare PROXY_URL DIRECTORY``. Ends with its standard input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.loopback.peer_neonize import Group, text_message, to_jid


class Senders(Group):
    """Clients that send."""

    def call_send_many(self, clients: list[str], to: str, texts: int, callers: int) -> str:
        """Have each client send ``texts`` texts from ``callers`` threads. Return the seconds of each send, and of all, as JSON."""
        took: list[float] = []
        threads = [
            threading.Thread(target=self._send_some, args=(self.client(name), to, texts // callers, took))
            for name in clients
            for _ in range(callers)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return json.dumps({"seconds": time.perf_counter() - began, "took": took})

    def _send_some(self, client: Any, to: str, texts: int, took: list[float]) -> None:
        jid = to_jid(to)
        for number in range(texts):
            began = time.perf_counter()
            client.send_message(jid, text_message(f"benchmark {number}"), add_msg_secret=True)
            took.append(time.perf_counter() - began)


def main() -> None:
    """Serve requests until standard input ends."""
    out = os.dup(1)
    os.dup2(2, 1)  # neonize prints to standard output, which must stay clean for answers
    group = Senders(sys.argv[1], Path(sys.argv[2]), out)
    for line in sys.stdin:
        threading.Thread(target=group.serve, args=(json.loads(line),), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
