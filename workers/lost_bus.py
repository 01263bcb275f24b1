"""The end of a worker that NATS refuses: its main process and children go, and unfinished tasks go back.

And that of a process whose bus has no thread any more, which can neither store an end nor prove that it lives.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import structlog
from celery.signals import worker_init, worker_ready

from bus import SyncBus

log = structlog.get_logger(__name__)

END_DEADLINE = 10.0
"""Seconds after which a worker that does not end by itself is ended; Redis gives its tasks to another later."""


def end_when_lost(bus: SyncBus) -> None:
    """End the whole worker, with exit status 1, when `bus` cannot heal in any of its processes.

    A process in which the thread of `bus` dies ends alone.

    Only the main process can end all, so a child tells it over a pipe. What ends it is SIGQUIT, Celery's cold
    shutdown: what runs gets `worker_soft_shutdown_timeout`, then its task goes back to the queue.
    """
    pipe: list[int] = []

    def listen(worker: Any) -> None:
        reason = os.read(pipe[0], 4096).decode("utf-8", "replace")
        log.error("this worker cannot work any more and ends", reason=reason)
        worker.exitcode = 1  # Celery's own for a cold shutdown is 0
        os.kill(os.getpid(), signal.SIGQUIT)
        time.sleep(END_DEADLINE)
        log.error("this worker does not end by itself and is killed")
        os._exit(1)

    def prepare(sender: object, **_: object) -> None:
        pipe.extend(os.pipe())
        threading.Thread(target=listen, args=(sender,), name="end when the bus is lost", daemon=True).start()

    def connect(**_: object) -> None:
        bus.begin()

    def tell(reason: str) -> None:
        if pipe:
            os.write(pipe[1], reason.encode("utf-8", "replace")[:4096])

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)  # at once, and whatever the main thread does: Celery replaces a child

    bus.on_lost = tell
    bus.on_death = die
    worker_init.connect(prepare, weak=False)
    worker_ready.connect(connect, weak=False)
