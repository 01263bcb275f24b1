"""What signals do to a process that executes a job."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from billiard.common import terminate_handler_fired
from billiard.process import current_process

SIGNAL = signal.SIGUSR1
"""Ours, and Celery's for a soft time limit."""

ENDING_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGXCPU,
)
"""Those whose handlers, Celery's or a library's, leave what the process does by an exception."""

SEND_AGAIN = 0.2
"""Seconds after which a `SIGNAL` that was not handled is sent again."""

PENDING_LONGEST = 30.0
"""Seconds for which a signal waits for the end of a job to be stored."""


class Interrupted(BaseException):
    """Raised inside a job's function that has to stop. No `Exception`: jobs must not catch it."""


class Signals:
    """Signals to the main thread while it executes one job.

    Inside the job's function `SIGNAL` raises `Interrupted`, and any other does what it did before. Once the function
    has returned, nothing may come between its result and the log: signals wait until `release`, or the block's end.

    Python runs signal handlers in the main thread only, so in another thread (Celery's threads pool) this does nothing,
    and jobs have to look at `JobContext.cancelled`.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._guard = threading.Lock()
        self._thread: int | None = None
        self._inside = False
        self._raised = False
        self._deferring = False
        self._pending: dict[int, float] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._thread = threading.get_ident()
            for number in (SIGNAL, *ENDING_SIGNALS):
                before = signal.getsignal(number)
                if callable(before) or number == SIGNAL:
                    self._before[number] = before if callable(before) else _ignore
            self._install()
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_DFL if before is _ignore else before)
        self._before.clear()
        self._deliver()

    @contextmanager
    def function(self) -> Iterator[None]:
        """The job's function runs inside this block. After it signals wait."""
        self._inside = True
        try:
            yield
        finally:
            while self._inside:
                try:
                    with self._guard:  # from here on interrupt() sends nothing, and what it sent has arrived
                        self._deferring = True
                        self._inside = False
                except Interrupted:
                    continue
            self._install()  # over what the function, or a library that it called, may have put there

    def interrupt(self) -> None:
        """Leave the function by `Interrupted`, from any thread. Does nothing when it has returned."""
        self._raised = False
        self._send()

    def _send(self) -> None:
        with self._guard:
            if self._inside and not self._raised and self._thread is not None:
                signal.pthread_kill(self._thread, SIGNAL)
                # One that comes in the moment before the thread blocks in the kernel does not wake it.
                again = threading.Timer(SEND_AGAIN, self._send)
                again.daemon = True
                again.start()

    def release(self) -> None:
        """Let signals do again what they did before, those that waited first."""
        self._deferring = False
        self._deliver()

    def release_if_overdue(self) -> None:
        """Release when one has waited for too long: a process that cannot store an end must end all the same."""
        if any(time.monotonic() - since > PENDING_LONGEST for since in self._pending.values()):
            self.release()

    def _install(self) -> None:
        for number in self._before:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == SIGNAL:
            if self._inside:
                self._raised = True
                raise Interrupted
        elif self._deferring:
            self._pending.setdefault(number, time.monotonic())
        else:
            self._before[number](number, frame)

    def _deliver(self) -> None:
        while self._pending:
            number, _ = self._pending.popitem()
            signal.raise_signal(number)


def _ignore(number: int, frame: FrameType | None) -> None:
    pass


def process_is_ending(error: BaseException) -> bool:
    """Whether what left a job's function is the end of its process, not a failure of the job."""
    # A signal's handler raised it, billiard's in a child, or Celery's where the main process runs jobs itself. Then the
    # job has not failed: the task is not acknowledged and runs again. What a job raises on its own is its own.
    if not isinstance(error, SystemExit) or threading.current_thread() is not threading.main_thread():
        return False
    return terminate_handler_fired() or (type(error) is not SystemExit and current_process().name == "MainProcess")
