"""A stored job as the Celery task that Redis holds, and the way there. Written against Celery's message protocol 2.

`Celery.send_task` takes one task at a time, looks up routes and producers that never differ here, and waits for Redis
each time. This is the same message, made in a tenth of the time, and many go in one command.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.serialization import dumps as serialize
from kombu.utils.json import dumps

from bus import traces
from bus.job_log import JobState
from workers.redis_owner import Identity, hand_over
from workers.ticket import Ticket


def send(celery: Celery, jobs: Sequence[JobState], identity: Identity | None = None) -> None:
    """Hand jobs to Celery, in this order, in one command for each queue that Redis takes whole or not at all.

    Args:
        identity: of the jobs' system; without it nobody looks whose Redis it is.

    Raises:
        ForeignRedis: it is another system's; nothing was put there.
        OperationalError, RedisError, OSError: Redis is away or silent. It may have taken the tasks: sending them again
            is harmless, since a job is claimed once.
    """
    queues: dict[str, list[str]] = {}
    for job in jobs:
        queues.setdefault(job.request.queue, []).append(_message(celery, job, identity))
    with celery.pool.acquire(block=True) as connection:
        for queue, messages in queues.items():
            if identity is None:
                connection.default_channel.client.lpush(queue, *messages)
            else:
                hand_over(connection, identity, queue, messages)


def _message(celery: Celery, job: JobState, identity: Identity | None) -> str:
    ticket = Ticket.of(job)
    task = celery.amqp.as_task_v2(
        job.job_id,
        f"jobs.{job.request.job_type}",
        args=(job.client_id, job.job_id) if ticket is None else (job.client_id, job.job_id, ticket.model_dump()),
        ignore_result=True,
        argsrepr="",  # only for display, and it would show what clients wrote
        kwargsrepr="{}",
    )
    if identity is not None:
        task.headers["system"] = identity.current
    if job.request.traceparent is not None:
        task.headers[traces.HEADER] = job.request.traceparent
    content_type, encoding, body = serialize(task.body, "json")  # type: ignore[no-untyped-call]
    envelope: dict[str, Any] = {
        "body": body,
        "content-encoding": encoding,
        "content-type": content_type,
        "headers": task.headers,
        "properties": {
            **task.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": job.request.queue},
            "priority": 0,
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    message: str = dumps(envelope)  # type: ignore[no-untyped-call]
    return message
