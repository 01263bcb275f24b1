"""Whose Redis it is: a key names the system that uses a database, so that a second one notices.

Two systems on one database take each other's tasks. The key holds the epoch of the system's event stream, and expires
unless the system's processes renew it: a Redis that was wiped, or left behind by a system that is gone, is taken over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.exceptions import WorkerShutdown
from celery.worker import state as worker_state
from celery.worker.consumer.connection import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from bus import BusError, SyncBus

log = structlog.get_logger(__name__)

OWNER = "busctl.system"
"""The Redis key that names a database's system."""
LASTS = 20.0
"""Seconds after which a system that nobody renews counts as gone."""
RENEWED_EVERY = 5.0
ASK_NATS = 3.0
"""Seconds that a worker waits for NATS to say which system it is of, before it begins without knowing."""
AWAY = (OperationalError, RedisError, OSError)
"""What a broken or silent Redis raises, through kombu or not; `TimeoutError` is an `OSError`."""

HAND_OVER = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] then return 0 end
if owner ~= ARGV[1] or #ARGV == 3 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) end
for index = 4, #ARGV do redis.call('LPUSH', KEYS[2], ARGV[index]) end
return 1
"""


class ForeignRedis(BusError):
    """The Redis database belongs to another system; nothing was put there."""

    def __init__(self, prefix: str) -> None:
        super().__init__(
            f"REDIS_URL leads to a database of another system (its key {prefix}{OWNER} names another event stream); "
            "nothing was put there. Use the REDIS_URL of this system, or give each system a BUS_REDIS_PREFIX of its own"
        )


@dataclass(frozen=True)
class Identity:
    """What tells this system from others: the epoch of its event stream, and the one before if that was made anew."""

    current: str
    previous: str = ""

    def now(self, epoch: str) -> Identity:
        """The identity with the epoch that the stream has now."""
        return self if epoch == self.current else Identity(epoch, self.current)


def hand_over(connection: Any, identity: Identity, queue: str = "", messages: Sequence[str] = ()) -> None:
    """Put messages into a queue, in one step with looking whose Redis it is; without messages, renew the claim.

    Args:
        connection: kombu's.
        identity: of this system; it takes over a Redis that is nobody's.

    Raises:
        ForeignRedis: it is another system's; nothing was done.
        OperationalError, RedisError, OSError: Redis is away or takes no writes.
    """
    channel = connection.default_channel
    prefix = channel.global_keyprefix
    script = channel.plain_client().register_script(HAND_OVER)
    arguments = [identity.current, identity.previous, int(LASTS * 1000), *messages]
    if not script(keys=[f"{prefix}{OWNER}", f"{prefix}{queue}"], args=arguments):
        raise ForeignRedis(prefix)


def settle(celery: Celery, identity: Identity, stopped: Callable[[], object] = lambda: None) -> None:
    """Claim a Redis, waiting at most `LASTS` for one whose system is gone.

    Args:
        stopped: asked between two looks; may raise to give up.

    Raises:
        ForeignRedis: the other system lives: its claim was renewed.
        OperationalError, RedisError, OSError: Redis is away or takes no writes.
    """
    left = None
    while True:
        try:
            with celery.connection_for_write() as connection:
                hand_over(connection, identity)
                return
        except ForeignRedis:
            with celery.connection_for_write() as connection:
                channel = connection.default_channel
                before, left = left, channel.plain_client().pttl(f"{channel.global_keyprefix}{OWNER}")
            if before is not None and left > before:
                raise
            if before is None:
                log.warning("waiting to see whether the system that used this Redis lives", seconds_at_most=LASTS)
        stopped()
        time.sleep(0.3)


class Ownership:
    """Keeps a worker's claim on its Redis, and ends a worker that has none.

    Args:
        celery: for Redis.
        bus: to ask which system this is.
    """

    def __init__(self, celery: Celery, bus: SyncBus) -> None:
        self._celery = celery
        self._bus = bus
        self._identity: Identity | None = None
        self._stop = threading.Event()

    def settle(self) -> None:
        """Claim the Redis before the first task is taken from it.

        Raises:
            WorkerShutdown: it is another system's.
        """
        if (identity := self._know()) is None:
            log.warning("NATS does not say which system this is; whose Redis it is will be looked at later")
            return
        self._claim(identity, worker_state.maybe_shutdown)

    def run(self) -> None:
        """Renew the claim every few seconds, until `stop`."""
        while not self._stop.wait(RENEWED_EVERY):
            try:
                self.renew()
            except AWAY as error:
                log.debug("could not renew the claim on Redis", error=str(error))
            except WorkerShutdown:
                worker_state.should_stop = 1
                return

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def renew(self) -> None:
        """Renew the claim once.

        Raises:
            WorkerShutdown: another system has taken the Redis meanwhile.
            OperationalError, RedisError, OSError: Redis is away or takes no writes.
        """
        if (identity := self._know()) is not None:
            self._claim(identity, lambda: None)

    def _claim(self, identity: Identity, stopped: Callable[[], object]) -> None:
        try:
            settle(self._celery, identity, stopped)
        except ForeignRedis as error:
            log.critical("this worker ends", reason=str(error))
            raise WorkerShutdown(1) from error

    def _know(self) -> Identity | None:
        try:
            epoch = self._bus.call(lambda bus: bus.stream.state(), timeout=ASK_NATS).epoch
        except BusError:
            return self._identity
        self._identity = Identity(epoch) if self._identity is None else self._identity.now(epoch)
        return self._identity


def keep_owning(celery: Celery, bus: SyncBus) -> Ownership:
    """Have every worker of an app claim its Redis before it takes tasks. The caller runs and stops the result."""
    ownership = Ownership(celery, bus)

    class Claim(bootsteps.StartStopStep):  # type: ignore[misc]
        """Celery starts it after the connection, and before messages are consumed."""

        requires = (Connection,)

        def start(self, _: object) -> None:
            ownership.settle()

    celery.steps["consumer"].add(Claim)
    return ownership
