"""SIGHUP, which comes when the terminal closes: it ends a worker as SIGTERM does, or means nothing."""

from __future__ import annotations

import signal
from typing import Any

from celery import Celery
from celery.bootsteps import StartStopStep
from celery.signals import worker_process_init

from bus.end_signals import end_signals


def heed_hangup(celery: Celery) -> None:
    """Have the workers of this app end on SIGHUP in order, unless they were started to ignore it, as by `nohup`.

    Celery would execute the command line again, which of `python -m workers` it does not know; or, with a terminal to
    write to, die at once. It has the children die of it whatever was said.
    """
    heard = signal.SIGHUP in end_signals()

    class Hangup(StartStopStep):  # type: ignore[misc]
        """Begins once Celery has set up its own signals."""

        def start(self, worker: Any) -> None:
            signal.signal(signal.SIGHUP, _end if heard else signal.SIG_IGN)

    def ignore(**_: object) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    celery.steps["worker"].add(Hangup)
    if not heard:
        worker_process_init.connect(ignore, weak=False)


def _end(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)
