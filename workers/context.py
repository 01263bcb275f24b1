"""JobContext: what a running job knows about itself, and what it may say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, overload

from workers.cancelled import Cancelled
from workers.job_loop import JobLoop
from workers.resources import Resources
from workers.written import Written

PRETENDED_STEPS = 10
UNLIMITED = 2**63

T = TypeVar("T")

Report = Callable[[float | None, str | None], None]


def _nobody_listens(fraction: float | None, message: str | None) -> None:
    pass


@dataclass(frozen=True)
class JobContext:
    """What a running job knows about itself.

    Args:
        job_id: the job's id, as its client sees it.
        client_id: who asked for it.
        attempt: 1 for the first run, more when a worker died.
        delay_scale: factor on pretended work, `BUS_JOB_DELAY_SCALE`.
        cancelled: set when the job was cancelled or took too long: nobody waits for its result any more. Wait for it
            with `job.cancelled.wait(seconds)`, in a coroutine with `await job.cancelled`. The function is also left, by
            an exception: a coroutine (`asyncio.CancelledError`), and in a prefork or solo worker any function, wherever
            it is. Under threads a plain function is left when it yields or writes, and else must look here.
        report: what `progress` hands on to.
        written: what `write` hands on to.
        resources: what `resource` asks.
        slot: the time for which its schedule made the job, in UTC, however late it runs; None for any other job.
    """

    job_id: str
    client_id: str
    attempt: int = 1
    delay_scale: float = 1.0
    cancelled: Cancelled = field(default_factory=Cancelled)
    report: Report = _nobody_listens
    written: Written = field(default_factory=lambda: Written("the job", UNLIMITED, Cancelled()))
    resources: Resources = field(default_factory=lambda: Resources(JobLoop()))
    slot: datetime | None = None

    def progress(self, fraction: float | None, message: str | None = None) -> None:
        """Show how far the job has come. Cheap: call it as often as you like, clients see the latest now and then.

        Args:
            fraction: from 0 to 1, or None when that cannot be said.
            message: what is going on. What of it cannot be encoded is shown as "?".

        Raises:
            ValueError: `fraction` is outside 0 to 1, or `message` is no text.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction from 0 to 1 or None, not {fraction!r}")
        if message is not None and not isinstance(message, str):
            raise ValueError(f"a message of progress is text or None, not {message!r}")
        shown = None if message is None else message.encode("utf-8", "replace").decode()
        self.report(None if fraction is None else float(fraction), shown)

    def write(self, text: str) -> Awaitable[None]:
        """Show a piece of the answer while it is made. Cheap: call it for each word if you like, pieces are joined.

        What was written, and then what the function returns if that is not None, is the result of the job. A generator
        need not call this: what it yields is written.

        Returns:
            In a coroutine, something to await: it is over at once, or when NATS, away or slow, has taken more of what
            was written. A plain function waits here by itself.

        Raises:
            UnusableOutput: it is no text, or none that can be encoded.
            Interrupted: in place of going on; no `Exception`. The job was cancelled, or took too long, or has written
                more than `BUS_JOB_RESULT_MAX_BYTES`. In a coroutine it is `asyncio.CancelledError`.
        """
        return self.written.add(text, "wrote")

    @overload
    def resource(self, factory: Callable[[], AbstractAsyncContextManager[T]]) -> Awaitable[T]: ...
    @overload
    def resource(self, factory: Callable[[], AbstractContextManager[T]]) -> T: ...
    def resource(self, factory: Callable[[], Any]) -> Any:
        """What the jobs of this worker process share, such as a pool of connections.

        The first job that asks opens it; every other one gets the same; it is closed when the process ends.

        Args:
            factory: makes a context manager, or an async one: a function with `@contextmanager` or
                `@asynccontextmanager`, or a class such as `httpx.AsyncClient`. It is known by what it is, so give the
                same function each time, and no lambda.

        Returns:
            What the context manager gives; of an async one something to await.

        Raises:
            UnusableResource: it is no context manager, or an async one and this is no async job; or opening it was
                cancelled.
            Exception: what opening it raises; the next job that asks tries again.
        """
        return self.resources.get(factory)

    def pretend_to_work(self, seconds: float, *, steps: int = PRETENDED_STEPS) -> None:
        """Take `seconds` times `BUS_JOB_DELAY_SCALE`, as the example jobs do in place of real work.

        Args:
            steps: how often progress is shown; with one step, not at all.
        """
        pause = seconds * self.delay_scale / steps
        for step in range(steps if pause else 0):
            if steps > 1:
                self.progress(step / steps)
            if self.cancelled.wait(pause):
                return
