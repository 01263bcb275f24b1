"""A worker's claim on its Redis: made before the first task is taken, renewed while the worker lives."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from celery import Celery, bootsteps
from celery.exceptions import WorkerShutdown
from celery.worker import state as worker_state
from celery.worker.consumer.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from bus import BusError, SyncBus
from workers.errors import ForeignRedis
from workers.redis_owner import REDIS_ERRORS, RENEWED_EVERY, Identity, settle

log = structlog.get_logger(__name__)

ASK_NATS = 3.0
"""Seconds that a worker waits for NATS to say which system it is of, before it begins without knowing."""


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
            RedisConnectionError: it is away again; the worker connects again.
        """
        if (identity := self._know()) is None:
            log.warning("NATS does not say which system this is; whose Redis it is will be looked at later")
            return
        try:
            self._claim(identity, worker_state.maybe_shutdown)
        except REDIS_ERRORS as error:
            raise RedisConnectionError(str(error)) from error

    def run(self) -> None:
        """Renew the claim every few seconds, until `stop`."""
        while not self._stop.wait(RENEWED_EVERY):
            try:
                self.renew()
            except REDIS_ERRORS as error:
                log.debug("could not renew the claim on Redis", error=str(error))
            except WorkerShutdown:
                worker_state.should_stop = 1
                return
            except Exception:
                log.exception("renewing the claim on Redis failed; trying again")

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
