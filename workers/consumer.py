"""The part of a worker that takes messages from Redis, for as long as it takes. Written against Celery 5.7."""

from __future__ import annotations

import json
import time
import warnings
from functools import partial
from typing import Any

import structlog
from celery.concurrency.asynpool import AsynPool
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer as celery_consumer
from celery.worker.state import maybe_shutdown
from kombu.message import Message

from bus.backoff import Backoff
from workers.malformed import set_aside

log = structlog.get_logger(__name__)

CONSUME_AGAIN = 0.2
CONSUME_AGAIN_LONGEST = 2.0
"""Seconds between two attempts to reach Redis: doubled from the first up to the longest."""
MOST_NAMED = 100
"""Other applications' tasks that are logged by name."""
CALM = 10.0
"""Seconds without an error after which the next one is the first again."""
LOOK_FOR_DEAD_CHILDREN = 0.5
"""Seconds between two looks for children that died. Celery looks when the pipe to a child ends, which on a busy machine
can be a moment before the kernel calls it dead, and else every 5 s."""


class Consumer(celery_consumer.Consumer):  # type: ignore[misc]
    """Celery's consumer, which is back within seconds however long Redis refused to work."""

    _failed_at = float("-inf")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._foreign: set[str] = set()
        self._backoff = Backoff(CONSUME_AGAIN, CONSUME_AGAIN_LONGEST)
        # Each lost connection would log eight lines about a default of Celery 6 that workers/config.py has decided on.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
        super().__init__(*args, **kwargs)

    def register_with_event_loop(self, hub: Any) -> None:
        """Look after the children often enough for their jobs to run again at once."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(LOOK_FOR_DEAD_CHILDREN, self.pool.maintain_pool)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again every few seconds; Celery's own pause grows to half a minute."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=1, interval_step=1, interval_max=CONSUME_AGAIN_LONGEST
        )
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Say why there is no connection, and wait a little before the next attempt."""
        self.app.busctl_metrics.redis_outages.inc()
        log.warning("could not begin to take tasks from Redis; trying again", error=str(exc) or type(exc).__name__)
        self._pause()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the connection, say why, and wait a little before the next attempt."""
        self.app.busctl_metrics.redis_outages.inc()
        log.warning("stopped taking tasks from Redis; connecting again", error=str(exc) or type(exc).__name__)
        super().on_connection_error_after_connected(exc)
        self._pause()
        self._watch_dying_children()

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Set a message aside that cannot be decoded. Celery would log it whole."""
        self._set_aside(message, exc)

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:
        """Set a task aside that Celery cannot make sense of. Celery would log it whole."""
        self._set_aside(message, exc)

    def on_unknown_message(self, body: object, message: Message) -> None:
        """Set a message aside that holds no task. Celery would log it whole."""
        self._set_aside(message, TypeError())

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> None:
        """Leave the task of another application alone. Celery would log it whole, and drop it.

        Nobody else can take it while this worker is asked first; so it is given out again when the visibility timeout
        has passed, to whoever asks then.
        """
        name = str(message.headers["task"])[:80]
        if name not in self._foreign and len(self._foreign) < MOST_NAMED:
            self._foreign.add(name)
            log.warning("left a task of another application in Redis, like all that follow with its name", task=name)
        self.app.busctl_metrics.foreign.inc()
        message.reject()  # type: ignore[no-untyped-call]

    def _watch_dying_children(self) -> None:
        """Have those that are still in the pool watched again.

        When one dies, Celery stops watching it, and looks for dead children at once. The kernel may call it dead a
        moment later, though, and if Redis is lost in that moment, Celery finds nothing of it to watch, takes that for
        another lost connection, and so on for ever.
        """
        if isinstance(pool := getattr(self.pool, "_pool", None), AsynPool):
            for child in pool._pool:
                if getattr(child, "_sentinel_poll", 0) is None:
                    del child._sentinel_poll

    def _set_aside(self, message: Message, error: Exception) -> None:
        self.app.busctl_metrics.malformed.inc()
        if message.delivery_tag not in message.channel.qos._delivered:
            log.warning("dropped a malformed broadcast", error=type(error).__name__)
            return
        channel = message.channel
        raw = json.dumps(message._raw).encode()  # type: ignore[attr-defined]
        set_aside(channel.plain_client(), channel.global_keyprefix, raw, type(error).__name__)
        message.ack()  # type: ignore[no-untyped-call]

    def _pause(self) -> None:
        # What Redis refuses once a connection stands, it refuses at once: without a pause the worker would spin.
        now = time.monotonic()
        if now - self._failed_at >= CALM:
            self._backoff.reset()
        end = now + self._backoff.pause()
        while (left := end - time.monotonic()) > 0:
            maybe_shutdown()
            time.sleep(min(left, 0.2))
        self._failed_at = time.monotonic()
