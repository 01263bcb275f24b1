"""`busctl worker`: a production worker."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", "-c", metavar="N", min=1, help="Jobs that run at a time; by default one per CPU."),
]


def worker(context: typer.Context, concurrency: Concurrency = None) -> None:
    """Run a worker until SIGTERM.

    It is a worker of Celery, and takes every other option of 'celery worker' too, such as --pool threads,
    --hostname or --loglevel. Other commands of Celery find its app by -A workers.

    On SIGTERM or Ctrl+C running jobs are finished, then it exits with 0. Settings are environment variables: NATS_URL,
    REDIS_URL, BUS_LOG_FORMAT and others.

    Example: NATS_URL=nats://bus:4222 busctl worker --concurrency 4
    """
    sys.stdout.flush()
    # The worker takes this process's place. -P: a directory named like one of our packages, where the command happens
    # to be typed, is not imported.
    command = [sys.executable, "-P", "-m", "workers", *context.args]
    if concurrency is not None:
        command += ["--concurrency", str(concurrency)]
    os.execv(sys.executable, command)  # noqa: S606
