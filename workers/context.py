"""JobContext: what a running job knows about itself, and what it may say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

PRETENDED_STEPS = 10

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
        cancelled: set when the job was cancelled or took too long: nobody waits for its result any more. In a
            prefork or solo worker the function is also left by an exception; under threads it must look here.
        report: what `progress` hands on to.
    """

    job_id: str
    client_id: str
    attempt: int = 1
    delay_scale: float = 1.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    report: Report = _nobody_listens

    def progress(self, fraction: float | None, message: str | None = None) -> None:
        """Show how far the job has come. Cheap: call it as often as you like, clients see the latest now and then.

        Args:
            fraction: from 0 to 1, or None when that cannot be said.
            message: what is going on.

        Raises:
            ValueError: `fraction` is outside 0 to 1.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction from 0 to 1 or None, not {fraction!r}")
        self.report(fraction, message)

    def pretend_to_work(self, seconds: float) -> None:
        """Take `seconds` times `BUS_JOB_DELAY_SCALE`, as the example jobs do in place of real work."""
        pause = seconds * self.delay_scale / PRETENDED_STEPS
        for step in range(PRETENDED_STEPS if pause else 0):
            self.progress(step / PRETENDED_STEPS)
            if self.cancelled.wait(pause):
                return
