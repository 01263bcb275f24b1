"""Celery's connection to Redis, which never waits for it without end. Written against Celery and kombu 5.7."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection as KombuConnection


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
