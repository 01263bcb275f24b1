"""Celery settings, and why each is what it is."""

from __future__ import annotations

import logging
from typing import Any

import structlog
from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.signals import setup_logging

from bus import Settings, redis_url
from bus.job_log import DEFAULT_QUEUE
from bus.log import configure_logging, warn_of_unknown_settings
from bus.redis_url import RedisUrl
from workers import transport
from workers.connection import Amqp, Events

QUEUE = DEFAULT_QUEUE
log = structlog.get_logger(__name__)


def create_celery(settings: Settings, *, socket_timeout: float = 5.0) -> Celery:
    """A Celery app on Redis without a result backend: the EVENTS stream has the results.

    Args:
        settings: where Redis is, and the visibility timeout.
        socket_timeout: seconds after which a silent Redis is given up; short for web processes, so that
            enqueueing has a deadline (kombu passes it to redis-py).
    """
    transport.install()
    address = redis_url.parse(settings.redis_url)
    # Celery shows its settings to whoever asks, so they have no password: the transport gets it with the address.
    app = Celery("busctl", broker=str(address), amqp=Amqp, events=Events, set_as_current=False)
    app.conf.update(
        broker_use_ssl=address.tls.options() if address.tls else None,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A task is acknowledged after its end is stored, and given to another worker when its process dies.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        # Redis may be away for any length of time, at start and later.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_consumer="workers.consumer:Consumer",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # On SIGTERM running jobs are finished; on SIGQUIT they get this long and go back to the queue.
        worker_soft_shutdown_timeout=5.0,
        worker_hijack_root_logger=False,
        # The producer tries twice and then says so, instead of blocking its thread.
        task_publish_retry=True,
        task_publish_retry_policy={
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.1,
            "interval_max": 0.1,
        },
        broker_transport_options=_transport_options(settings, address, socket_timeout),
    )
    return app


def _transport_options(settings: Settings, address: RedisUrl, socket_timeout: float) -> dict[str, Any]:
    return {
        "address": address,
        "global_keyprefix": f"{settings.redis_prefix}:" if settings.redis_prefix else "",
        "visibility_timeout": settings.visibility_timeout,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        # A worker that was killed while it gave tasks back holds the lock for this long, kombu's default being 300 s.
        "unacked_mutex_expire": 10,
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": 1.0,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "max_retries": 0,
    }


def without_the_pools_traceback(record: logging.LogRecord) -> bool:
    """Of a child that was lost the message says all; the traceback would be that of the pool which noticed it."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(getattr(error, "exc", error), WorkerLostError):
        record.exc_info = None
    return True


def use_our_logging(settings: Settings) -> None:
    """Make the worker's log lines look like those of every other process."""

    def configure(**_: object) -> None:
        configure_logging(settings, whole_process=True)
        warn_of_unknown_settings()
        # workers/execute.py says the same better
        logging.getLogger("celery.app.trace").setLevel(logging.ERROR)
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
        logging.getLogger("celery.worker.request").addFilter(without_the_pools_traceback)

    setup_logging.connect(configure, weak=False)
