"""Celery's connection to Redis, which never waits for it without end, and what it keeps to publish when Redis is back.

Written against Celery and kombu 5.7.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from celery.app import events
from celery.app.amqp import AMQP
from celery.events.dispatcher import EventDispatcher
from kombu.connection import Connection as KombuConnection

MOST_UNSENT = 100
"""Events of Celery's own, such as that a worker lives, that are kept until Redis takes them."""


class Connection(KombuConnection):
    """kombu's connection, which connects again within a call as often as the caller asks for, and else not at all.

    A worker publishes from the loop in which it takes tasks: every two seconds that it lives, and what operators ask.
    kombu would sleep there until Redis is back, deaf to signals and to children that die. Now the call fails, the loop
    ends sooner or later, and `workers/consumer.py` connects again.
    """

    def ensure(self, *args: Any, **options: Any) -> Any:
        """Wrap a function so that it is called again, over a new connection, as often as `max_retries` says."""
        options["max_retries"] = options.get("max_retries") or 0
        return super().ensure(*args, **options)  # type: ignore[no-untyped-call]


class Amqp(AMQP):  # type: ignore[misc]
    """What a Celery app makes its connections with."""

    Connection = Connection


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Celery's, which would keep without end what Redis does not take, every two seconds something more."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._outbound_buffer: deque[Any] = deque(maxlen=MOST_UNSENT)


class Events(events.Events):  # type: ignore[misc]
    """What a Celery app publishes its events with."""

    dispatcher_cls = Dispatcher
