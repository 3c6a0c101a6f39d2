#!/usr/bin/env bash
# Guess:   asyncpg reads postgresql:// addresses as libpq does, so psql, psycopg and asyncpg with one DATABASE_URL are in one database.
# Happens: of postgresql://host/first?dbname=second libpq takes the second: parameters come after the path and replace it. asyncpg takes the first.
# Matters: a deployment appends ?dbname= to one address to reach one database of many. Migrations by psql or psycopg go to the one, the program
#          that uses asyncpg reads the other, and neither says a word.
. "$(dirname "$0")/lib/setup"
pip_install asyncpg==0.32.0 psycopg==3.3.2 psycopg-binary==3.3.2
cat > run.py <<'PY'
import asyncio
import socket
import threading

import asyncpg
import psycopg

server = socket.create_server(("127.0.0.1", 0))
url = f"postgresql://user@127.0.0.1:{server.getsockname()[1]}/first?dbname=second&sslmode=disable"
asked: list[str] = []


def serve() -> None:
    """Note the database that each client asks for, and hang up: both complain about that, which is of no interest here."""
    while True:
        connection, _ = server.accept()
        with connection:
            words = connection.recv(4096)[8:].split(b"\0")
            asked.extend(value.decode() for name, value in zip(words[::2], words[1::2]) if name == b"database")


threading.Thread(target=serve, daemon=True).start()
for name, connect in (("libpq", lambda: psycopg.connect(url)), ("asyncpg", lambda: asyncio.run(asyncpg.connect(url)))):
    asked.clear()
    try:
        connect()
    except Exception:
        pass
    print(name, "asks for", asked[0])
PY
timeout 60 "$python" run.py | expect 'libpq asks for second
asyncpg asks for first'
