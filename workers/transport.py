"""Celery's Redis transport, with repairs for a Redis that is there and says no. Written against kombu 5.7.

kombu tells connection errors, after which a worker connects again, from channel errors, which end it: on RabbitMQ
the latter mean a bug. What Redis answers is never that. A failover, a full disk or memory, a changed password, a
script that runs too long: all of it passes without the worker, so all of it is a connection error here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from queue import Empty
from typing import Any, cast

import structlog
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from bus.redis_url import RedisUrl
from workers import envelope
from workers.errors import Malformed
from workers.malformed import set_aside

log = structlog.get_logger(__name__)

CONNECTION_ERRORS = (
    *kombu_redis.Transport.connection_errors,
    OperationalError,  # what kombu makes of the others once it has tried again in vain
    ValueError,  # what redis-py makes of an answer that is none, from something that is no Redis
    RedisError,
    RedisClusterException,
)
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
        """Give a message back at once, or else leave it in Redis, to be given out when the visibility timeout passes.

        Nothing is dropped: what this worker does not want may be a task of somebody else.
        """
        if not requeue:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            return
        try:
            super().reject(delivery_tag, requeue=True)  # type: ignore[no-untyped-call]
        except CONNECTION_ERRORS as error:
            self._let_go(delivery_tag, error)

    def restore_by_tag(self, tag: bytes | str, client: Redis | None = None, leftmost: bool = False) -> None:
        """Put a message that was taken back into its queue; set it aside when it cannot be one."""
        redis = self.channel.plain_client()
        prefix = self.channel.global_keyprefix
        if (entry := redis.hget(f"{prefix}{self.unacked_key}", tag)) is not None:
            try:
                message, exchange, queue = json.loads(entry)
                envelope.DeliveryInfo(exchange=exchange, routing_key=queue)
                envelope.check(message, task=False)
            except (ValueError, TypeError, RecursionError) as error:
                set_aside(redis, prefix, entry, f"taken, and cannot be given back: {type(error).__name__}")
                redis.hdel(f"{prefix}{self.unacked_key}", tag)
        super().restore_by_tag(tag, client=client, leftmost=leftmost)  # type: ignore[no-untyped-call]

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
    address: RedisUrl
    on_malformed: Callable[[], None] = staticmethod(lambda: None)
    """Called for each message that is none, and does not reach Celery. Not an option of the transport: Celery shows
    those to operators, as JSON."""
    may_take: Callable[[], bool] = staticmethod(lambda: True)
    """Whether this worker could do anything with a task now. What it does not take is there for others."""
    _plain: Redis | None = None
    _own: Redis | None = None
    from_transport_options = (*kombu_redis.Channel.from_transport_options, "address")  # type: ignore[assignment]

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

    def plain_client(self) -> Redis:
        """A client that takes keys as they are; kombu's own puts the prefix before the keys of some commands."""
        if self._plain is None or self._plain.connection_pool is not self.pool:
            self._plain = Redis(connection_pool=self.pool)
        return self._plain

    def _create_client(self, asynchronous: bool = False) -> Redis:
        """kombu's own client. It would make one for every command, which is a twelfth of what a task costs here."""
        if asynchronous:
            return cast(Redis, super()._create_client(asynchronous=True))  # type: ignore[no-untyped-call]
        if self._own is None or self._own.connection_pool is not self.pool:
            self._own = cast(Redis, super()._create_client())  # type: ignore[no-untyped-call]
        return self._own

    def _brpop_start(self, timeout: int | None = None) -> None:
        """Ask Redis for the next message, unless it would only wait here. Broadcasts are heard all the same."""
        if self.may_take():
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: Any) -> bool:
        """Take what Redis answers, and hand it on if it is a message. Returns True, or raises `Empty`."""
        connection = self.client.connection
        try:
            try:
                answer = self.client.parse_response(connection, "BRPOP", **options)
            except self.connection_errors:
                connection.disconnect()
                raise
        finally:
            self._in_poll = None  # type: ignore[assignment]
            self._flush_brpop_reauth()  # type: ignore[no-untyped-call]
        if not answer:
            raise Empty
        queue, raw = answer[0].decode().rsplit(self.sep, 1)[0], answer[1]
        self._queue_cycle.rotate(queue)
        try:
            message = envelope.read(raw, queue)
        except Malformed as error:
            self.on_malformed()
            set_aside(self.plain_client(), self.global_keyprefix, raw, str(error))
        else:
            self.connection._deliver(message, queue)
        return True

    def _handle_message(self, client: Any, r: Any) -> dict[str, Any]:
        """Read what was broadcast; what is no JSON counts as nothing, since kombu would log it whole."""
        answer: dict[str, Any] = super()._handle_message(client, r)  # type: ignore[no-untyped-call]
        if bytes(answer["type"]).endswith(b"message"):
            try:
                json.loads(answer["data"])
            except (ValueError, RecursionError) as error:
                self.on_malformed()
                log.warning("dropped a malformed broadcast", error=type(error).__name__)
                answer["data"] = None
        return answer

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        """Hand on what was broadcast; drop what is malformed, since nobody waits for it."""
        try:
            if exchange not in self._fanout_to_queue:
                raise Malformed("unknown exchange")
            envelope.check(message, task=False)
            return bool(super()._deliver_fanout_message(message, exchange))  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            raise
        except Exception as error:
            self.on_malformed()
            log.warning("dropped a malformed broadcast", exchange=exchange[:40], error=type(error).__name__)
            return False

    def _discard(self, connection: Any) -> None:
        # kombu keeps the number of a channel that could not be opened, and has 65,535 of them.
        connection.cycle.discard(self)
        self._disconnect_pools()  # type: ignore[no-untyped-call]
        if getattr(self, "channel_id", None) in connection._used_channel_ids:
            connection._used_channel_ids.remove(self.channel_id)

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection.client is None:
            raise RedisConnectionError("the connection to Redis was closed")
        parameters = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        return parameters | self.address.login() | {"db": self.address.database}


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """This module's channel, on whichever Redis Sentinel names at the moment."""

    from_transport_options = (*kombu_redis.SentinelChannel.from_transport_options, "address")  # type: ignore[assignment]

    @property
    def master_name(self) -> str | None:
        """What Sentinel calls the server."""
        return self.address.master_name

    @property
    def sentinel_kwargs(self) -> dict[str, Any]:
        """How to connect to the Sentinels themselves."""
        tls = self.address.tls
        return {
            "socket_timeout": self.socket_timeout,
            "socket_connect_timeout": self.socket_connect_timeout,
            "retry": Retry(NoBackoff(), 0),  # the next Sentinel is asked at once
            **self.address.sentinel_login(),
            **({"ssl": True, **tls.options()} if tls else {}),
        }


class Poller(kombu_redis.MultiChannelPoller):
    """kombu's, which notices a Redis that has gone without a word.

    Nothing ever comes over a connection whose other end lost its power. Every second this one asks Redis for messages
    to be given out again; kombu would take no answer for nothing to do.
    """

    def maybe_restore_messages(self) -> None:
        """Give out again what nobody has acknowledged in time.

        Raises:
            RedisError, OSError: Redis did not answer, and the worker connects again.
        """
        for channel in self._channels:
            if channel.active_queues:
                limit, throttle = channel.unacked_restore_limit, channel.unacked_restore_throttle
                channel.qos.restore_visible(num=limit, interval=throttle)
                return


class Transport(kombu_redis.Transport):
    """kombu's transport with this module's channel and poller."""

    Channel = Channel
    connection_errors = CONNECTION_ERRORS
    channel_errors = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.cycle = Poller()  # type: ignore[assignment,no-untyped-call]


class SentinelTransport(Transport):
    """kombu's transport with the channel for a Redis that Sentinel names."""

    Channel = SentinelChannel
    default_port = 26379  # type: ignore[assignment]


def install() -> None:
    """Let `redis://`, `rediss://` and `sentinel://` URLs mean this module's transports."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:{SentinelTransport.__name__}"
