"""Celery without this system: a task that does nothing, under the settings of our workers.

celery -A benchmarks.bare_celery worker

It tells the benchmark that it was executed by one datagram to the Unix socket `BENCH_EXECUTED`.
"""

from __future__ import annotations

import os
import socket

from bus import Settings
from workers.config import create_celery, use_our_logging

TASK = "noop"

settings = Settings.load()
app = create_celery(settings)
use_our_logging(settings)
executed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@app.task(name=TASK)
def noop(client_id: str, job_id: str) -> None:
    """Do nothing, and say that it is done."""
    executed.sendto(job_id.encode(), os.environ["BENCH_EXECUTED"])
