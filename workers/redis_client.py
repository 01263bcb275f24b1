"""A connection to Redis for whoever asks it something now and then, besides Celery's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from bus import redis_url


@asynccontextmanager
async def redis_client(url: str, timeout: float = 5.0) -> AsyncIterator[Redis]:
    """A connection to Redis or Valkey, also to one that Sentinel names.

    Args:
        timeout: seconds for connecting, and for each answer.
    """
    address = redis_url.parse(url)
    once = Retry(NoBackoff(), 0)
    patience: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": once}
    if address.master_name is None:
        async with Redis(**address.options(), **patience) as client:
            yield client
        return
    asking = address.sentinel_login() | patience
    if address.tls:
        asking |= {"ssl": True, **address.tls.options()}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs=asking, **address.options(), **patience
    )
    async with AsyncExitStack() as stack:
        for each in sentinel.sentinels:
            await stack.enter_async_context(each)
        yield await stack.enter_async_context(sentinel.master_for(address.master_name))
