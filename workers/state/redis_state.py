"""What Redis or Valkey says of itself, and the tasks that wait there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from bus import Settings, redis_url
from workers.redis_client import redis_client

Json: TypeAlias = dict[str, Any]

ERRORS = (RedisError, OSError, ValueError)
"""What an absent or broken Redis raises. `TimeoutError` is an `OSError`."""
PROBE = "busctl.probe"
"""A list that does not exist: adding to it is refused like any other write, else without any effect."""
TAKEN = "unacked"


@dataclass
class RedisState:
    """The server.

    Args:
        url: its address, as may be shown.
        error: why it cannot be asked; None when it can.
        refuses: why it takes no tasks, in its own words; None when it does.
        info: what it says of itself (`INFO`); empty where the user may not ask.
        ahead: seconds by which its clock is ahead of ours.
        queues: how many tasks wait, by queue.
        taken: tasks that a worker has and has not acknowledged.
    """

    url: str
    error: str | None = None
    refuses: str | None = None
    info: Json = field(default_factory=dict)
    ahead: float | None = None
    queues: dict[str, int] = field(default_factory=dict)
    taken: int = 0

    @property
    def kind(self) -> str:
        """Redis or Valkey."""
        return "Valkey" if "valkey_version" in self.info else "Redis"

    @property
    def version(self) -> str:
        """Of the server."""
        return str(self.info.get("valkey_version") or self.info.get("redis_version") or "")

    @property
    def role(self) -> str:
        """`master` or `slave`, in its own words."""
        return str(self.info.get("role", ""))

    @property
    def policy(self) -> str:
        """What it does when its memory is full."""
        return str(self.info.get("maxmemory_policy", ""))

    @property
    def used(self) -> int:
        """Bytes of memory."""
        return int(self.info.get("used_memory", 0))

    @property
    def max_bytes(self) -> int | None:
        """Bytes of memory that it may use; None for all."""
        return int(self.info.get("maxmemory", 0)) or None

    def record(self) -> Json:
        """It, for programs."""
        about: Json = {"url": self.url, "error": self.error}
        if self.error is not None:
            return about
        return about | {
            "refuses": self.refuses,
            "kind": self.kind,
            "version": self.version,
            "role": self.role,
            "policy": self.policy,
            "bytes": self.used,
            "max_bytes": self.max_bytes,
            "queues": self.queues,
            "taken": self.taken,
        }


async def look_at_redis(settings: Settings, queues: Sequence[str], within: float) -> RedisState:
    """What Redis says of itself.

    Args:
        settings: where it is.
        queues: whose tasks are counted.
        within: seconds for all of it.
    """
    redis = RedisState(redis_url.redacted(settings.redis_url))
    try:
        async with asyncio.timeout(within), redis_client(settings.redis_url, within) as client:
            await _ask(client, redis, f"{settings.redis_prefix}:" if settings.redis_prefix else "", queues)
    except TimeoutError:
        redis.error = f"no answer within {within:g} s"
    except AuthenticationError:
        redis.error = "it asks for a user and password, or refuses those that it got"
    except ERRORS as error:
        redis.error = " ".join(str(error).split()) or type(error).__name__
    return redis


async def _ask(client: Redis, redis: RedisState, prefix: str, queues: Sequence[str]) -> None:
    await client.ping()
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.info()
        pipeline.time()
        pipeline.lpushx(f"{prefix}{PROBE}", "")
        pipeline.hlen(f"{prefix}{TAKEN}")
        for queue in queues:
            pipeline.llen(f"{prefix}{queue}")
        before = time.time()
        info, there, written, taken, *lengths = await pipeline.execute(raise_on_error=False)
        after = time.time()
    redis.info = info if isinstance(info, dict) else {}
    if isinstance(there, Sequence):
        redis.ahead = there[0] + there[1] / 1e6 - (before + after) / 2
    if isinstance(written, RedisError):
        redis.refuses = str(written)
    redis.taken = taken if isinstance(taken, int) else 0
    redis.queues = {name: n for name, n in zip(queues, lengths, strict=True) if isinstance(n, int)}
