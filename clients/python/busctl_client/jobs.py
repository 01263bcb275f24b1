"""Jobs: the jobs of this client as the frames tell them. Knows no socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from busctl_client.errors import BusctlError, JobCancelled, JobFailed, JobLost, Refused
from busctl_client.events import Frame, JobState, time_of
from busctl_client.job import ENDED, Job

STEPS: dict[str, JobState] = {
    "job_queued": "queued",
    "job_started": "started",
    "job_progress": "started",
    "job_retrying": "retrying",
    "job_output": "started",
    "job_result": "done",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
}
"""How a job stands after each of its events."""

RANKS: dict[str, float] = {
    "sending": 0,
    "unsent": 0,
    "interrupted": 0,
    "scheduled": 1,
    "queued": 1,
} | dict.fromkeys(ENDED, float("inf"))

UNSEEN = "the server no longer has the history of this job; it may have ended unseen"
UNCONFIRMED = (
    "the connection was lost before the server confirmed this job, and the server no longer knows this client; the job "
    "may run all the same: submit it again only if it does no harm when it runs twice"
)
LOST_ATTEMPT = "its worker was lost"

Make = Callable[[str, str, Any], Job]
"""Makes a job of its key, type and content, that is `sending`."""


class Jobs:
    """Every open job, and the latest that have ended: the newest first, also those submitted elsewhere.

    Args:
        make: makes a job.
        ended_limit: most of the ended ones.
        on_change: called with each job that is new or has changed.
    """

    def __init__(self, make: Make, ended_limit: int, on_change: Callable[[Job], None]) -> None:
        self._make = make
        self._ended_limit = ended_limit
        self._on_change = on_change
        self._by_key: dict[str, Job] = {}
        self._by_id: dict[str, list[Job]] = {}  # two, where the same key was used twice
        self._ended: dict[Job, None] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(reversed(self._by_key.values())))

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, id_or_key: str) -> Job | None:
        """The job of that id, or that key; None when there is none, or not any more."""
        jobs = self._by_id.get(id_or_key)
        return jobs[0] if jobs else self._by_key.get(id_or_key)

    def with_key(self, key: str) -> Job | None:
        """The job of that key; None when there is none, or not any more."""
        return self._by_key.get(key)

    def add(self, job: Job) -> Job:
        """A job that is on its way to the server."""
        self._by_key[job.key] = job
        self._changed(job)
        return job

    def take(self, frame: Frame) -> None:
        """What a frame tells of jobs."""
        action = frame["action"]
        if action in STEPS:
            for job in self._jobs_of(frame):
                self._step(job, frame)
        elif action == "job_status":
            self._status(frame)

    def refuse(self, key: str, refused: Refused) -> None:
        """The server does not accept the job of that key, for now or for good."""
        job = self._by_key.get(key)
        if job is not None and job.state == "sending":
            job.state, job.error = "unsent" if refused.again else "refused", refused
            self._changed(job)

    def hold(self, trouble: BusctlError) -> list[Job]:
        """Those that are on their way are not any more. Returns them."""
        held = [job for job in self if job.state == "sending"]
        for job in held:
            job.state, job.error = "unsent", trouble
            self._changed(job)
        return held

    def send_again(self, job: Job) -> None:
        """A job that was not accepted is on its way once more."""
        job.state, job.error = "sending", None
        self._changed(job)

    def cut(self, same_client: bool) -> list[Job]:
        """History was cut. Returns the jobs of which it is to be asked how they stand."""
        doubtful = []
        for job in self:
            if job.id is not None and same_client and not job.ended:
                doubtful.append(job)
            elif job.id is not None:
                self.interrupt(job)
            elif job.state == "sending" and not same_client:
                self.interrupt(job, UNCONFIRMED)
        return doubtful

    def interrupt(self, job: Job, why: str = UNSEEN) -> None:
        """How it ended cannot be known, unless events still come."""
        if not job.ended:
            job.state, job.error = "interrupted", JobLost(why)
            self._changed(job)

    def wake(self) -> None:
        """Have everybody who waits for a job look whether it is worth waiting still."""
        for job in self:
            job.changed.fire()

    def _jobs_of(self, frame: Frame) -> list[Job]:
        """The jobs that an event is about, of which there may have been none."""
        job_id, ref = frame["job_id"], frame.get("ref")
        if job_id in self._by_id:
            return self._by_id[job_id]
        job = self._by_key.get(ref) if ref is not None else None
        if job is not None and job.id is not None:
            job, ref = None, None  # somebody else's frame had the same
        if job is None:
            if frame["action"] == "job_progress":
                return []
            job = self._make(ref or job_id, frame.get("task_type", ""), frame.get("content"))
            self._by_key[job.key] = job
        self._name(job, job_id)
        return [job]

    def _name(self, job: Job, job_id: str) -> None:
        if job.id is None:
            job.id = job_id
            self._by_id.setdefault(job_id, []).append(job)

    def _step(self, job: Job, frame: Frame) -> None:
        action, attempt = frame["action"], frame.get("attempt", 0)
        if action == "job_queued":
            self._describe(job, frame)
        elif action == "job_retrying":
            job.reasons.setdefault(attempt, frame["reason"])
        elif action == "job_started" and attempt > 1:
            job.reasons.setdefault(attempt - 1, LOST_ATTEMPT)  # if nothing else was said
        state, error = _end_of(frame)
        if state == "done" and (not job.ended or job.state == "done"):
            job.value = frame["payload"]
        self._advance(job, state, error, attempt=attempt, at=frame.get("at"))
        if job.state != state or (attempt and attempt != job.attempt):
            return
        if action == "job_started":
            job.progress, job.message = None, ""
            job.output.begin(attempt)
        elif action == "job_output":
            job.output.write(frame["payload"], attempt, frame["index"])
        elif action == "job_progress":
            job.progress, job.message = frame.get("payload"), frame.get("message", "")
        elif state == "done":
            job.output.end(job.value, attempt)
        self._changed(job)

    def _describe(self, job: Job, frame: Frame) -> None:
        job.task_type = frame.get("task_type", job.task_type)
        job.runs = frame.get("runs", job.runs)
        job.content = frame.get("content", job.content)
        job.retry_of = frame.get("retry_of", job.retry_of)
        job.not_before = time_of(frame.get("not_before"))

    def _status(self, frame: Frame) -> None:
        payload = frame["payload"]
        job_id = payload["job_id"]
        new = self._by_key.get(frame.get("ref", ""))
        if new is not None and new.id is None:
            self._adopt(new, job_id)
        for job in self._by_id.get(job_id, ()):
            job.not_before = time_of(payload.get("not_before")) or job.not_before
            for told in payload.get("attempts", ()):
                if told.get("reason"):
                    job.reasons.setdefault(told["attempt"], told["reason"])
            if job.ended:
                continue
            attempt = payload["attempt"]
            state, error = _end_of(payload | {"action": payload["state"], "payload": payload["text"]})
            if state == "done":
                job.value = payload.get("result", payload["text"])  # an older server says the text alone
            self._advance(job, state, error, attempt=attempt)
            if state == "done":
                job.output.end(job.value, attempt)
            self._changed(job)

    def _adopt(self, new: Job, job_id: str) -> None:
        """A key was used before: it stands for a job that there is already, of which this client may know more."""
        known = self._by_id.get(job_id)
        self._name(new, job_id)
        if known is not None:
            new.follow(known[0])

    def _advance(
        self, job: Job, state: JobState, error: BusctlError | None, *, attempt: int = 0, at: str | None = None
    ) -> None:
        """A job never steps back: a reply may overtake the events that led to what it says."""
        if state == "queued" and job.not_before is not None and job.not_before > datetime.now(UTC):
            state = "scheduled"
        to, now = _rank(state, attempt), _rank(job.state, job.attempt)
        if to > now or (to == now and not job.ended):
            job.state, job.error = state, error
            job.attempt = max(attempt, job.attempt)
            job.at = time_of(at) or job.at
            self._changed(job)

    def _changed(self, job: Job) -> None:
        job.changed.fire()
        self._on_change(job)
        if job.ended:
            self._ended[job] = None
            while len(self._ended) > self._ended_limit:
                self._forget(next(iter(self._ended)))

    def _forget(self, job: Job) -> None:
        self._ended.pop(job)
        if self._by_key.get(job.key) is job:
            self._by_key.pop(job.key)
        others = [other for other in self._by_id.pop(job.id or "", ()) if other is not job]
        if others and job.id is not None:
            self._by_id[job.id] = others


def _rank(state: JobState, attempt: int) -> float:
    """Each attempt is above the one before it, first running, then waiting for the next."""
    return RANKS.get(state, 2 * (attempt or 1) + (state == "retrying"))


def _end_of(frame: Frame) -> tuple[JobState, BusctlError | None]:
    state = STEPS[frame["action"]]
    if state == "failed":
        return state, JobFailed(frame["job_id"], frame.get("reason") or str(frame["payload"]))
    if state == "cancelled":
        return state, JobCancelled(frame["job_id"], frame.get("by"))
    return state, None
