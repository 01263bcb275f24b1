"""What Redis holds: the tasks that wait there, and those that were taken and are not acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from celery import Celery
from redis import Redis

from workers import envelope

REDIS_PAGE = 500
"""Messages read from Redis at a time."""


def count(celery: Celery, queues: Iterable[str]) -> int:
    """How many messages there are, of whatever kind, without reading one of them.

    Raises:
        OperationalError, RedisError, OSError: Redis cannot be asked.
    """
    with celery.connection_for_write() as connection:
        channel = connection.default_channel
        client, prefix = channel.plain_client(), channel.global_keyprefix
        total: int = client.hlen(f"{prefix}unacked") + sum(client.llen(f"{prefix}{queue}") for queue in queues)
        return total


def job_ids(celery: Celery, queues: Iterable[str]) -> set[str]:
    """The ids of all jobs whose tasks wait, or were taken and are not acknowledged. Raises as `count` does."""
    with celery.connection_for_write() as connection:
        channel = connection.default_channel
        messages = _messages(channel.plain_client(), channel.global_keyprefix, queues)
        return {found for message in messages if (found := envelope.job_id(message)) is not None}


def _messages(client: Redis, prefix: str, queues: Iterable[str]) -> Iterator[bytes]:
    # What is taken is read before and after what waits: a message that moves meanwhile is seen in one of them.
    yield from _taken(client, prefix)
    for queue in queues:
        start = 0
        while page := client.lrange(f"{prefix}{queue}", start, start + REDIS_PAGE - 1):
            yield from page  # type: ignore[misc]
            start += REDIS_PAGE // 2  # pages overlap, since the list moves while it is read
    yield from _taken(client, prefix)


def _taken(client: Redis, prefix: str) -> Iterator[bytes]:
    for _, message in client.hscan_iter(f"{prefix}unacked", count=REDIS_PAGE):
        yield message
