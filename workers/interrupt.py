"""Leaving a job's function from outside it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNAL = signal.SIGUSR1


class Interrupted(BaseException):
    """Raised inside a job's function that nobody waits for any more. No `Exception`: jobs must not catch it."""


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """A block that the yielded function, called from any thread, leaves by `Interrupted`.

    Python runs signal handlers in the main thread only, so under Celery's threads pool the yielded function does
    nothing and jobs have to look at `JobContext.cancelled`.
    """
    thread = threading.current_thread()
    if thread is not threading.main_thread() or thread.ident is None:
        yield lambda: None
        return
    ident = thread.ident
    guard = threading.Lock()
    inside = True

    def leave(*_: object) -> None:
        if inside:
            raise Interrupted

    def interrupt() -> None:
        with guard:
            if inside:
                signal.pthread_kill(ident, SIGNAL)

    before = signal.signal(SIGNAL, leave)
    try:
        yield interrupt
    finally:
        while inside:
            try:
                with guard:  # from here on interrupt() sends nothing, and what it sent has arrived
                    inside = False
            except Interrupted:
                continue
        signal.signal(SIGNAL, before)
