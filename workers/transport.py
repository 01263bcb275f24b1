"""Celery's Redis transport, with repairs for a Redis that is there and says no. Written against kombu 5.7.

kombu tells connection errors, after which a worker connects again, from channel errors, which end it: on RabbitMQ
the latter mean a bug. What Redis answers is never that. A failover, a full disk or memory, a changed password, a
script that runs too long: all of it passes without the worker, so all of it is a connection error here.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

log = structlog.get_logger(__name__)

CONNECTION_ERRORS = (*kombu_redis.Transport.connection_errors, RedisError, RedisClusterException)
"""What a worker answers by connecting again."""


def check_writable(client: Redis, prefix: str = "") -> None:
    """Ask Redis to add to a list that does not exist: refused like any other write, else without any effect.

    Args:
        client: the connection to ask over.
        prefix: what the keys of this system begin with.

    Raises:
        RedisError, OSError: Redis is away, or a replica, full, locked, or otherwise in no state to take a task.
    """
    client.lpushx(f"{prefix}busctl.probe", "")


class QoS(kombu_redis.QoS):
    """kombu's account of the messages in hand, which stays right when Redis refuses to change its own."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, or give its place free at least.

        A message whose acknowledgement is refused is given out again after the visibility timeout, and its task finds
        that the job has ended. If it stayed in the account, the worker would wait for ever to be allowed another one.
        """
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except CONNECTION_ERRORS as error:
            self._let_go(delivery_tag, error)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it; like `ack` when Redis refuses."""
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        except CONNECTION_ERRORS as error:
            self._let_go(delivery_tag, error)

    def _let_go(self, delivery_tag: str, error: Exception) -> None:
        log.warning("Redis did not take the end of a task; the task will come again and find it", error=str(error))
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]


class Channel(kombu_redis.Channel):
    """kombu's channel, which tells a closed connection from a bug.

    Celery closes a lost connection twice. With tasks in hand, kombu's second close looks for the address of a
    connection that is no more, and the `AttributeError` ends the whole worker. As a connection error it is expected
    there, and the worker reconnects.
    """

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        """Open a channel, on a Redis that takes writes.

        Raises:
            RedisError, OSError: it is away, or takes none. kombu pops a message before it notes that it has it, so a
                worker must not begin on a Redis that is full.
        """
        try:
            super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
            check_writable(self.client, self.global_keyprefix)
        except BaseException:
            self._discard(connection)
            raise

    def _discard(self, connection: Any) -> None:
        # kombu keeps the number of a channel that could not be opened, and has 65,535 of them.
        connection.cycle.discard(self)
        self._disconnect_pools()  # type: ignore[no-untyped-call]
        if getattr(self, "channel_id", None) in connection._used_channel_ids:
            connection._used_channel_ids.remove(self.channel_id)

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection.client is None:
            raise RedisConnectionError("the connection to Redis was closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """The same for a Redis that Sentinel names."""


class Transport(kombu_redis.Transport):
    """kombu's transport with this module's channel."""

    Channel = Channel
    connection_errors = CONNECTION_ERRORS
    channel_errors = ()


class SentinelTransport(Transport):
    """The same for a Redis that Sentinel names."""

    Channel = SentinelChannel
    default_port = 26379  # type: ignore[assignment]


def install() -> None:
    """Let `redis://`, `rediss://` and `sentinel://` URLs mean this module's transports."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:{SentinelTransport.__name__}"
