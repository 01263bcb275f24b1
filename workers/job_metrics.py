"""What the job log tells of jobs, counted by the worker that reconciles: it reads every step anyway.

Times are those at which NATS stored the steps, so one clock measures how long a job waited and ran.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bus.job_log import Step
from bus.messages import JobQueued, JobRequeued, JobRetrying
from workers.open_jobs import Key

OTHER = "other"
"""In place of a type that is not registered here."""
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0)


@dataclass(slots=True)
class _Life:
    """An open job.

    Args:
        type: as a label.
        due: since when it could begin, in seconds as `time.time` has it.
        runs_since: when its attempt began, while one runs.
    """

    type: str
    due: float
    runs_since: float | None = None


class JobMetrics:
    """Fed with the steps of all jobs in stream order.

    Args:
        registry: for what is counted.
        now: for what is so at this moment, and known to nobody but the worker that reconciles.
        types: the registered job types.
    """

    def __init__(self, registry: CollectorRegistry, now: CollectorRegistry, types: Collection[str]) -> None:
        self._types = frozenset(types)
        self._open: dict[Key, _Life] = {}
        self._after = 0
        counter = partial(Counter, registry=registry)
        self.accepted = counter("busctl_jobs_accepted", "Jobs accepted.", ["type"])
        self.attempts = counter("busctl_job_attempts", "Attempts begun.", ["type"])
        self.retries = counter(
            "busctl_job_retries",
            "Attempts that brought no end: raised, to be tried again; lost, with its worker; and requeued: tasks that "
            "Redis had lost.",
            ["type", "why"],
        )
        self.ended = counter("busctl_jobs_ended", "Jobs ended: result, failed or cancelled.", ["type", "end"])
        self.carried = counter("busctl_jobs_carried", "Open jobs carried forward before the stream was cut.")
        self.wait = Histogram(
            "busctl_job_wait_seconds",
            "From when a job was accepted, or its time had come, to its first attempt.",
            ["type"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.run = Histogram(
            "busctl_job_run_seconds",
            "From when the last attempt of a job began to the job's end.",
            ["type"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.open = Gauge(
            "busctl_jobs_open",
            "Jobs that have not ended: running; queued, retries included; scheduled for later.",
            ["state"],
            registry=now,
        )
        for state in ("running", "queued", "scheduled"):
            self.open.labels(state).set_function(partial(self._count, state))
        self.oldest = Gauge(
            "busctl_oldest_open_job_seconds", "How long ago the oldest open job could have begun.", registry=now
        )
        self.oldest.set_function(self._oldest)

        for job_type in (*types, OTHER):  # so that the first of a kind is an increase
            self.accepted.labels(job_type)
            self.attempts.labels(job_type)
            for why in ("raised", "lost", "requeued"):
                self.retries.labels(job_type, why)
            for end in ("result", "failed", "cancelled"):
                self.ended.labels(job_type, end)

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, after: int) -> None:
        """Begin anew. What has a sequence up to this one is history: it is read again, but was counted before."""
        self._open.clear()
        self._after = after

    def keep(self, keys: Collection[Key]) -> None:
        """Forget all open jobs but these."""
        self._open = {key: life for key, life in self._open.items() if key in keys}

    def see(self, step: Step) -> None:
        """Take note of a step of any job."""
        key, event, at = (step.client_id, step.job_id), step.event, step.at.timestamp()
        life = self._open.get(key) or self._begun(step, at)
        if event.ended:
            self._open.pop(key, None)
        else:
            self._open[key] = life
        began, life.runs_since = life.runs_since, at if event.running else None
        if step.carried and event.running:
            life.runs_since = began or at
        if step.seq <= self._after:
            return
        if step.carried:
            self.carried.inc()
        elif isinstance(event, JobQueued):
            self.accepted.labels(life.type).inc()
        elif event.running:
            self.attempts.labels(life.type).inc()
            if began is not None:  # Redis has given the task of a dead worker to another
                self.retries.labels(life.type, "lost").inc()
            if event.attempt == 1:
                self.wait.labels(life.type).observe(max(0.0, at - life.due))
        elif isinstance(event, JobRequeued):
            self.retries.labels(life.type, "requeued").inc()
        elif isinstance(event, JobRetrying):
            self.retries.labels(life.type, "lost" if event.next_at is None else "raised").inc()
        elif event.ended:
            self.ended.labels(life.type, event.action.removeprefix("job_")).inc()
            if began is not None:
                self.run.labels(life.type).observe(max(0.0, at - began))

    def _begun(self, step: Step, at: float) -> _Life:
        request = step.request
        asked = request.job_type if request is not None else step.event.task_type  # whose beginning is cut
        begins = request.begins if request is not None else None
        due = at if begins is None else max(at, begins.timestamp())
        return _Life(asked if asked in self._types else OTHER, due)

    # Asked by whoever scrapes, in another thread: copying the values is one step of Python's.

    def _count(self, state: str) -> int:
        now = time.time()
        lives = list(self._open.values())
        running = sum(life.runs_since is not None for life in lives)
        scheduled = sum(life.due > now and life.runs_since is None for life in lives)
        return {"running": running, "scheduled": scheduled}.get(state, len(lives) - running - scheduled)

    def _oldest(self) -> float:
        return max(0.0, time.time() - min((life.due for life in list(self._open.values())), default=time.time()))
