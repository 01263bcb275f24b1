"""ListedJob: one job of `busctl jobs`, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bus import times
from bus.attempts import Attempt
from bus.job_log import JobState
from bus.messages import JobFailed, JobResult, JobRetrying, as_text
from cli.when import about, waits_until


@dataclass(frozen=True, slots=True)
class ListedJob:
    """One job of the list."""

    state: JobState
    attempts: Sequence[Attempt]
    queued_at: datetime
    last_at: datetime

    @property
    def attempt(self) -> int:
        """How often a worker has begun it."""
        return self.attempts[-1].number if self.attempts else 0

    @property
    def begins(self) -> datetime | None:
        """When it begins, if it waits for its time."""
        return waits_until(self.state)

    @property
    def content(self) -> str:
        """What was asked for."""
        return as_text(self.state.request.content)

    @property
    def text(self) -> str:
        """What is most worth knowing of it: when it begins, what was asked for, or what came of it."""
        if (time := self.begins) is not None:
            return f"in {about(time)}: {self.content}"
        match self.state.last:
            case JobFailed(reason=str(reason)):
                return reason
            case JobFailed(payload=said) | JobResult(payload=said) | JobRetrying(payload=said):
                return as_text(said)
        return self.content

    @property
    def age(self) -> timedelta:
        """Since it was submitted."""
        return datetime.now(UTC) - self.queued_at

    @property
    def took(self) -> timedelta | None:
        """From then to its end, if it has ended."""
        return self.last_at - self.queued_at if self.state.ended else None

    def record(self) -> dict[str, object]:
        """The whole of it, for programs."""
        return {
            "job_id": self.state.job_id,
            "client_id": self.state.client_id,
            "type": self.state.request.task_type,
            "runs": self.state.request.job_type,
            "content": self.state.request.content,
            "state": self.state.state,
            "ended": self.state.ended,
            "attempt": self.attempt,
            "attempts": [
                {"attempt": attempt.number, "started_at": attempt.started_at, "reason": attempt.reason}
                for attempt in self.attempts
            ],
            "retry_of": self.state.request.retry_of,
            "not_before": self.state.request.not_before,
            "queued_at": times.written(self.queued_at),
            "last_at": times.written(self.last_at),
            "seq": self.state.seq,
            "text": as_text(self.state.last.payload),
        }
