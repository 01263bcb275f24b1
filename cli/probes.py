"""Whether the parts of a system answer: one question each, never an exception."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from redis.exceptions import NoPermissionError, RedisError

from workers.redis_client import redis_client

PROBE_TIMEOUT = 5.0
"""Seconds after which one question counts as unanswered."""


async def http_ok(port: int, path: str) -> bool:
    """Whether a local HTTP server answers a GET with 200."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except OSError:
        return False
    return status.split()[1:2] == [b"200"]


async def redis_answers(url: str) -> bool:
    """Whether Redis or Valkey answers a PING."""
    with suppress(RedisError, OSError):
        async with redis_client(url) as client:
            await client.ping()
            return True
    return False


async def worker_listens(url: str) -> bool:
    """Whether a Celery worker listens on this Redis: it subscribes to its control channel once it takes tasks.

    Somebody else's Redis may forbid to ask; then the answer is yes.
    """
    try:
        async with redis_client(url) as client:
            return any(int(entry.get("psub", 0)) or int(entry.get("sub", 0)) for entry in await client.client_list())
    except NoPermissionError:
        return True
    except (RedisError, OSError):
        return False
