"""The Celery tasks: one for each job, and what their processes do when they begin and end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import structlog
from celery import Celery, Task
from celery.signals import worker_init, worker_process_shutdown, worker_shutdown
from kombu.entity import Exchange, Queue

from bus import Settings, SyncBus, traces
from workers import transport
from workers.execute import execute
from workers.limits import Limits
from workers.lost_bus import end_when_lost
from workers.main_process import MainProcess
from workers.metrics import WorkerMetrics
from workers.process import WorkerProcess
from workers.registry import Job
from workers.self_test import SELF_TEST
from workers.ticket import Ticket

log = structlog.get_logger(__name__)


def register(app: Celery, jobs: Mapping[str, Job], settings: Settings) -> MainProcess:
    """Make each job a Celery task named `jobs.<type>` that takes a client id, a job id, and perhaps a ticket.

    So is `workers.self_test`, by which `busctl doctor` sees whether jobs come back.

    Returns:
        What the worker's main process does about tasks besides.
    """
    bus = SyncBus(settings, name="busctl worker", update_stream=True)
    metrics = WorkerMetrics(jobs)
    app.busctl_metrics = metrics  # for what Celery makes by itself: see workers.consumer
    transport.Channel.on_malformed = staticmethod(metrics.malformed.inc)
    bus.on_change = main_bus = MainBus(metrics)
    transport.Channel.may_take = staticmethod(lambda: main_bus.works)
    process = WorkerProcess(bus, settings, metrics)
    main_process = MainProcess(process, jobs, metrics)
    # A worker takes from each of these, unless it is told from which ones.
    names = sorted({app.conf.task_default_queue, *(job.queue for job in jobs.values())})
    app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in names]  # type: ignore[no-untyped-call]
    for job in {SELF_TEST.name: SELF_TEST, **jobs}.values():
        app.task(_task(job, process), name=job.task_name, bind=True, Request=main_process.request_class)

    def begin(**_: object) -> None:
        traces.start(settings, "busctl-worker")  # before children are forked, which have it then

    def close(**_: object) -> None:
        process.close()
        traces.stop()

    end_when_lost(bus)
    worker_init.connect(begin, weak=False)
    worker_process_shutdown.connect(close, weak=False)
    worker_shutdown.connect(close, weak=False)
    return main_process


class MainBus:
    """Notes whether the worker's main process can use NATS, by which it knows whether its children can.

    Args:
        metrics: of the worker, which show it.
    """

    def __init__(self, metrics: WorkerMetrics) -> None:
        self.works = True
        """False once it cannot, until it can again; a worker that has just begun tries."""
        self._metrics = metrics
        self._pid = os.getpid()

    def __call__(self, works: bool) -> None:
        """It can from now on, or it cannot any more."""
        self._metrics.nats(works)
        if os.getpid() == self._pid and works != self.works:
            self.works = works
            if not works:
                log.warning("this worker takes no tasks from Redis until it can use NATS")


def _task(job: Job, process: WorkerProcess) -> Callable[..., None]:
    def run(task: Task, client_id: str, job_id: str, ticket: object = None) -> None:
        limits = Limits.of(job, task.request.timelimit)
        system = getattr(task.request, "system", None)
        execute(job, client_id, job_id, process, Ticket.read(ticket), limits, system=system)

    run.__doc__ = job.summary
    return run
