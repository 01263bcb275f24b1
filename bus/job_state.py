"""A job as its steps tell it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bus.job_step import JobRequest
from bus.messages import JobEvent, State


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as its steps tell it. `seq` is the last step's sequence; the next one must follow it."""

    client_id: str
    job_id: str
    request: JobRequest
    last: JobEvent
    seq: int
    ref: str | None
    attempt: int = 0
    """How often a worker has begun. Of a job that an older version ended it is not known, and 0."""
    instance: str | None = None
    """The process that answers for the job, or that did when it was cancelled; see `bus.liveness`."""
    requeued: int = 0
    """How often it was enqueued again since a worker began."""
    request_is_cut: bool = False
    """Whether retention has cut what was asked for, and left the end: then `request` tells the type alone."""

    @property
    def state(self) -> State:
        """The state's name: the action of the last event that clients are shown."""
        return self.last.state

    @property
    def started(self) -> bool:
        """Whether a worker has said that it runs the job, and nothing was said since."""
        return self.last.running

    @property
    def held(self) -> bool:
        """Whether a process has said that it answers for the job: it runs it, or waits to run it again."""
        return self.started or (self.instance is not None and not self.ended)

    @property
    def ended(self) -> bool:
        """Whether the job has its one end."""
        return self.last.ended

    def after(self, event: JobEvent, seq: int, instance: str | None) -> JobState:
        """The state after one more step.

        Args:
            instance: the process that runs the job from then on.
        """
        attempt = self.attempt if event.attempt is None else event.attempt
        job = replace(self, last=event, seq=seq, attempt=attempt)
        # The instance of a job that is cancelled stays: it has to be told.
        return job if event.ended else replace(job, instance=instance, requeued=event.requeued)

    def is_where(self, other: JobState) -> bool:
        """Whether no step lies between two states of a job. Each step changes one of these, and none goes back."""
        return (self.ended, self.attempt, self.started, self.instance, self.requeued) == (
            other.ended,
            other.attempt,
            other.started,
            other.instance,
            other.requeued,
        )
