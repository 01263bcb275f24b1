"""What the steps of jobs are counted as. No servers: the steps are made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from bus import Stored
from bus.job_log import JobRequest, Step
from bus.messages import JobEvent, JobFailed, JobQueued, JobRequeued, JobResult, JobRetrying, JobStarted
from workers.job_metrics import JobMetrics

BEGAN = datetime.now(UTC) - timedelta(hours=1)


class Log:
    """Jobs whose steps are stored at the seconds that a test says."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.now = CollectorRegistry()
        self.metrics = JobMetrics(self.registry, self.now, ["resize"])
        self.seq = 0

    def step(
        self, second: float, event: JobEvent, *, job_id: str = "one", request: JobRequest | None = None, **more: bool
    ) -> None:
        self.seq += 1
        at = (BEGAN + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
        stored = Stored(self.seq, f"bus.client.ann.job.{job_id}", b"", timestamp=at)
        self.metrics.see(Step("ann", job_id, event, request, None, stored, **more))

    def queue(
        self, second: float, job_type: str = "resize", job_id: str = "one", not_before: str | None = None
    ) -> None:
        request = JobRequest(task_type=job_type, job_type=job_type, content="x", not_before=not_before)
        self.step(second, JobQueued(payload=""), job_id=job_id, request=request)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels) or self.now.get_sample_value(name, labels)


@pytest.fixture
def log() -> Log:
    return Log()


def started(attempt: int = 1) -> JobStarted:
    return JobStarted(payload="", attempt=attempt)


def test_how_long_a_job_waited_and_ran(log: Log) -> None:
    log.queue(0)
    log.step(2, started())
    log.step(3, JobRetrying(payload="", reason="", attempt=1, next_at="2026-01-01T00:00:00Z"))
    log.step(10, started(2))
    log.step(15, JobResult(payload="done"))
    assert log.sample("busctl_job_wait_seconds_sum", type="resize") == pytest.approx(2)
    assert log.sample("busctl_job_run_seconds_sum", type="resize") == pytest.approx(5)
    assert log.sample("busctl_job_attempts_total", type="resize") == 2
    assert log.sample("busctl_job_retries_total", type="resize", why="raised") == 1
    assert log.sample("busctl_jobs_ended_total", type="resize", end="result") == 1


def test_a_job_for_later_waits_from_when_its_time_has_come(log: Log) -> None:
    log.queue(0, not_before=(BEGAN + timedelta(seconds=100)).isoformat())
    log.step(101, started())
    assert log.sample("busctl_job_wait_seconds_sum", type="resize") == pytest.approx(1)


def test_lost_workers_and_lost_tasks_are_told_apart(log: Log) -> None:
    log.queue(0)
    log.step(1, JobRequeued(payload="", attempt=0))
    log.step(2, started())
    log.step(3, JobRetrying(payload="", reason="", attempt=1))
    log.step(4, started(2))
    log.step(5, started(3))
    log.step(6, JobRetrying(payload="", reason="", attempt=3))
    log.step(7, JobFailed(payload=""))
    assert log.sample("busctl_job_retries_total", type="resize", why="requeued") == 1
    assert log.sample("busctl_job_retries_total", type="resize", why="lost") == 3
    assert log.sample("busctl_jobs_ended_total", type="resize", end="failed") == 1
    assert log.sample("busctl_job_run_seconds_count", type="resize") is None


def test_types_that_nobody_registered_are_one(log: Log) -> None:
    for number in range(100):
        log.queue(number, f"type {number}", f"job {number}")
    assert log.sample("busctl_jobs_accepted_total", type="other") == 100
    assert log.sample("busctl_jobs_accepted_total", type="type 1") is None


def test_what_is_open_now(log: Log) -> None:
    log.queue(0, job_id="running")
    log.step(1, started(), job_id="running")
    log.queue(60, job_id="queued")
    log.queue(60, job_id="later", not_before=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert [log.sample("busctl_jobs_open", state=state) for state in ("running", "queued", "scheduled")] == [1, 1, 1]
    began_ago = (datetime.now(UTC) - BEGAN).total_seconds()
    assert log.sample("busctl_oldest_open_job_seconds") == pytest.approx(began_ago, abs=30)
    log.metrics.keep({("ann", "later")})
    assert [log.sample("busctl_jobs_open", state=state) for state in ("running", "queued", "scheduled")] == [0, 0, 1]


def test_history_is_not_counted_again_by_who_takes_over(log: Log) -> None:
    log.metrics.begin(after=2)
    log.queue(0)
    log.step(1, started())
    log.step(5, JobResult(payload="done"))
    assert log.sample("busctl_jobs_accepted_total", type="resize") is None
    assert log.sample("busctl_job_run_seconds_sum", type="resize") == pytest.approx(4)
    assert log.sample("busctl_jobs_ended_total", type="resize", end="result") == 1


def test_a_job_that_is_carried_forward_goes_on_as_it_was(log: Log) -> None:
    log.queue(0)
    log.step(1, started())
    log.step(100, started(), carried=True)
    log.step(101, JobResult(payload="done"))
    assert log.sample("busctl_jobs_carried_total") == 1
    assert log.sample("busctl_job_attempts_total", type="resize") == 1
    assert log.sample("busctl_job_run_seconds_sum", type="resize") == pytest.approx(100)
