"""Celery's Redis transport, with one repair for when Redis goes away. Written against kombu 5.7."""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError


class Channel(kombu_redis.Channel):
    """kombu's channel, which tells a closed connection from a bug.

    Celery closes a lost connection twice. With tasks in hand, kombu's second close looks for the address of a
    connection that is no more, and the `AttributeError` ends the whole worker. As a connection error it is expected
    there, and the worker reconnects.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection.client is None:
            raise RedisConnectionError("the connection to Redis was closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]


class Transport(kombu_redis.Transport):
    """kombu's transport with this module's channel."""

    Channel = Channel


def install() -> None:
    """Let `redis://` and `rediss://` URLs mean this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
