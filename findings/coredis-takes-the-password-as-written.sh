#!/usr/bin/env bash
# Guess:   redis://:p%40ss@host means the password "p@ss", as in every URL and in redis-py.
# Happens: coredis sends "p%40ss" to the server. It decodes only when it is asked to (decode_components=True).
# Matters: hosted Redis gives URLs with encoded passwords. The same REDIS_URL works in one program and is refused in the other with
#          "invalid username-password pair".
. "$(dirname "$0")/lib/setup"
pip_install coredis==6.9.0 redis==7.1.0 trio==0.35.0
cat > run.py <<'PY'
import socket
import threading

import coredis
import redis
import trio

server = socket.create_server(("127.0.0.1", 0))
url = f"redis://:p%40ss@127.0.0.1:{server.getsockname()[1]}/0"
passwords: list[str] = []


def serve() -> None:
    """Note the password each client sends, and hang up: both clients complain about that, which is of no interest here."""
    while True:
        connection, _ = server.accept()
        with connection:
            words = connection.recv(4096).decode().split("\r\n")
            passwords.extend(word for word in words if word.startswith("p"))


async def with_coredis() -> None:
    async with coredis.Redis.from_url(url) as client:
        await client.ping()


threading.Thread(target=serve, daemon=True).start()
for name, connect in (("redis-py", lambda: redis.Redis.from_url(url).ping()), ("coredis", lambda: trio.run(with_coredis))):
    passwords.clear()
    try:
        connect()
    except BaseException:
        pass
    print(name, "sends", passwords[0])
PY
timeout 60 "$python" run.py | expect 'redis-py sends p@ss
coredis sends p%40ss'
