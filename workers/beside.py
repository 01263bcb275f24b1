"""What runs beside Celery in the main process of each worker, in threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from celery import Celery
from celery.signals import worker_process_init, worker_ready, worker_shutdown, worker_shutting_down

from bus import Settings
from bus.metrics_listener import MetricsListener
from workers.main_process import MainProcess
from workers.own_tasks import OwnTasks
from workers.ownership import keep_owning
from workers.reconcile import Reconciler
from workers.registry import Job
from workers.worker_service import WorkerService


def run_beside(app: Celery, main_process: MainProcess, jobs: Mapping[str, Job], settings: Settings) -> None:
    """Run them from when the worker is ready until it stops: a `Reconciler`, `OwnTasks`, and the claim on Redis.

    Its metrics are shown from then on too, if the settings say where; and operators are told who it is.
    """
    metrics = main_process.metrics
    listener = MetricsListener(metrics.text, settings.worker_metrics_bind, settings.metrics_token)
    reconciler = Reconciler(app, main_process.bus, jobs, settings, main_process.overdue, metrics)
    own_tasks = OwnTasks(main_process.bus, main_process)
    ownership = keep_owning(app, main_process.bus)
    service = WorkerService(app, main_process.bus, jobs, settings)
    beside = (reconciler.run, own_tasks.run, ownership.run, listener.run, service.run)
    threads = [threading.Thread(target=run, daemon=True) for run in beside]

    def start(**_: object) -> None:
        for thread in threads:
            thread.start()

    def hand_over(**_: object) -> None:
        # While this worker finishes its jobs, another one can reconcile.
        reconciler.stop()

    def stop(**_: object) -> None:
        reconciler.stop()
        own_tasks.stop()
        ownership.stop()
        listener.stop()
        service.stop()

    def forget(**_: object) -> None:
        listener.forget()

    worker_process_init.connect(forget, weak=False)
    worker_ready.connect(start, weak=False)
    worker_shutting_down.connect(hand_over, weak=False)
    worker_shutdown.connect(stop, weak=False)
