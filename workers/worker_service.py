"""A worker's main process as others see it: who it is, how much it can do at once, and what it does now."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from celery import Celery
from celery.signals import worker_init
from celery.worker.state import active_requests

from bus import BusError, Settings, SyncBus, subjects
from bus.services import Endpoint, Json, Service
from workers import about
from workers.registry import Job

log = structlog.get_logger(__name__)

MOST_RUNNING = 200
"""Running jobs that are told of."""
BEGIN_AGAIN = 2.0
"""Seconds until the next try when NATS is away at the beginning."""


class WorkerService:
    """Answers for a worker.

    Args:
        celery: tells from which queues it takes tasks.
        bus: of the main process.
        jobs: the registered jobs by name.
        settings: of the worker.
    """

    def __init__(self, celery: Celery, bus: SyncBus, jobs: Mapping[str, Job], settings: Settings) -> None:
        self._celery = celery
        self._bus = bus
        self._jobs = jobs
        self._settings = settings
        self._worker: Any = None
        self._stop = threading.Event()
        worker_init.connect(self._take_worker, weak=False)

    def run(self) -> None:
        """Begin to answer, as soon as NATS is there. Ends then: the bus goes on by itself."""
        service = self._service()
        while not self._stop.is_set():
            try:
                self._bus.call(service.start)
            except BusError as error:
                log.debug("nobody can ask about this worker yet; trying again", error=str(error))
            except Exception:
                log.exception("nobody can ask about this worker")
                return
            else:
                return
            self._stop.wait(BEGIN_AGAIN)

    def stop(self) -> None:
        """Do not begin any more."""
        self._stop.set()

    def _take_worker(self, sender: Any, **_: object) -> None:
        self._worker = sender

    def _service(self) -> Service:
        instance = about.new_instance()
        queues = list(self._celery.amqp.queues.consume_from)
        facts = about.about(self._settings, self._jobs, queues)
        if self._worker is not None:
            facts |= {"name": str(self._worker.hostname), "concurrency": str(self._worker.concurrency)}
        return Service(
            about.WORKER,
            instance=instance,
            version=about.busctl_version(),
            description="runs jobs",
            metadata=facts,
            endpoints=[Endpoint("jobs", subjects.running(instance), lambda _: self._running(), self._running)],
        )

    def _running(self) -> Json:
        """What runs now. Called on the bus's loop, while Celery's own thread changes it."""
        running = []
        for request in list(active_requests)[:MOST_RUNNING]:
            args = request.args
            if request.name.startswith("jobs.") and isinstance(args, list | tuple) and len(args) >= 2:
                client_id, job_id = str(args[0])[:64], str(args[1])[:64]
                since = request.time_start
                running.append(
                    {
                        "type": request.name.removeprefix("jobs.")[:64],
                        "client_id": client_id,
                        "job_id": job_id,
                        "seconds": None if since is None else round(time.time() - since, 1),
                    }
                )
        return {"running": running, "time": time.time()}
