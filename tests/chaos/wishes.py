"""What clients ask for: jobs of all types, and ended jobs once more."""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.planted import PLANTED
from tests.chaos.answers import Frame

JOBS = {
    "translate": 8,
    "analyze": 8,
    "default": 12,
    "nonsense": 2,
    "chaos_slow": 4,
    "chaos_stream": 4,
    "chaos_stream_async": 4,
    "chaos_stream_again": 2,
    "chaos_flaky": 3,
    "chaos_again": 2,
    "chaos_raise": 2,
    "chaos_rubbish": 1,
    "chaos_large": 1,
    "chaos_hang": 1,
    "chaos_kill": 1,
}
"""How often clients ask for each type of job, relative to the others."""

ANSWER_DEADLINE = 8.0
"""Seconds after which a client repeats a request that nobody has answered, with the same key."""


@dataclass
class Wish:
    """A job that a client wants, under an idempotency key."""

    key: str
    job_type: str
    unwanted: bool = False
    """Whether the client calls the job off as soon as it is accepted."""
    again: tuple[str, str] | None = None
    """Job id and content of the ended job that is to be done once more."""
    asked: float = -ANSWER_DEADLINE
    job_ids: set[str] = field(default_factory=set)
    """Every job id that the server named for the key: one, if it keeps its word."""

    @property
    def content(self) -> str:
        """What the job works on; no log may hold it."""
        return self.again[1] if self.again else f"{PLANTED} {self.key}"

    @property
    def frame(self) -> Frame:
        """What asks for it."""
        if self.again:
            return {"action": "retry_job", "payload": {"job_id": self.again[0]}, "key": self.key}
        payload = {"task_type": self.job_type, "content": self.content}
        return {"action": "system_message", "payload": payload, "key": self.key}
