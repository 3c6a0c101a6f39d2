"""Sliding windows in Redis, shared by several daemons: each is a sorted set, by Redis' own clock."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, final

import coredis
import trio
from coredis.retry import NoRetryPolicy

from actors.limiter import SharedWindowsAway
from actors.messages import Allowance, Rate
from config.secret import Secret

KEY: Final = "whatsapp:ratelimit:"
CONNECT_S: Final = 2.0
CLOSE_S: Final = 1.0
CONNECTIONS: Final = 8

# Exact, however many daemons ask: Redis runs one script at a time. ARGV: limit, window in µs, a name for this token, and the ages in µs of
# tokens counted elsewhere while Redis was away. Returns whether a token was taken, how many are taken, and the µs until the next one.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
for i = 4, #ARGV do
    local at = now - tonumber(ARGV[i])
    if at > now - window then redis.call('ZADD', KEYS[1], at, ARGV[3] .. ':' .. i) end
end
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
local taken = redis.call('ZCARD', KEYS[1])
if taken < limit then
    redis.call('ZADD', KEYS[1], now, ARGV[3])
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
    return {1, taken + 1, 0}
end
local oldest = redis.call('ZRANGE', KEYS[1], taken - limit, taken - limit, 'WITHSCORES')
return {0, taken, tonumber(oldest[2]) + window - now}
"""


@final
class RedisWindows:
    """Takes from windows in the Redis at ``url``. Every failure there is raised as `SharedWindowsAway`."""

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._script: Any = None

    async def serve(self, on_ready: Callable[[], None], until: trio.Event) -> None:
        """Connect, call ``on_ready``, and let `take` work until ``until`` is set. Raises `SharedWindowsAway` when it cannot connect."""
        is_ready = False
        try:
            with trio.CancelScope(deadline=trio.current_time() + CONNECT_S) as scope:
                async with self._open_client() as client:
                    await client.ping()
                    scope.deadline = math.inf
                    is_ready = True
                    self._script = client.register_script(_TAKE)
                    on_ready()
                    await until.wait()
                    # Do not wait for a Redis that hangs.
                    scope.deadline = trio.current_time() + CLOSE_S
        except Exception as error:
            # Whatever the client library raises here means that Redis cannot be used now.
            raise SharedWindowsAway(_cause_of(error)) from error
        finally:
            self._script = None
        if not is_ready:
            raise SharedWindowsAway("no answer in time")

    async def take(self, window: str, rate: Rate, owed_s: Sequence[float]) -> Allowance:
        """Take a token from ``window`` if its limit allows. ``owed_s``: the ages in seconds of tokens that Redis does not know of yet."""
        if self._script is None:
            raise SharedWindowsAway("not connected")
        arguments = [
            rate.limit,
            round(rate.window_s * 1e6),
            secrets.token_hex(8),
            *(round(age * 1e6) for age in owed_s),
        ]
        try:
            allowed, taken, wait_us = await self._script([KEY + window], arguments)
        except Exception as error:  # whatever the client library raises here means that Redis cannot be used now
            raise SharedWindowsAway(type(error).__name__) from error
        return Allowance(
            allowed=bool(allowed),
            limit=rate.limit,
            remaining=max(0, rate.limit - int(taken)),
            reset_after_s=math.ceil(int(wait_us) / 1000) / 1000,
        )

    def _open_client(self) -> coredis.Redis[bytes]:
        return coredis.Redis.from_url(
            self._url.reveal(),
            decode_components=True,
            retry_policy=NoRetryPolicy(),
            connect_timeout=CONNECT_S,
            max_connections=CONNECTIONS,
            client_name="wasup",
        )


def _cause_of(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return type(error).__name__
