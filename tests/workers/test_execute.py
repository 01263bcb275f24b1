"""Executing a job: whatever the function does, the job gets one end and the task returns."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus import Settings, SyncBus, job_log, subjects
from bus.job_log import JobRequest, JobState, new_job_id
from bus.messages import JobFailed, JobResult
from tests.servers import Nats, wait_until
from workers.execute import LONGEST_REASON, execute
from workers.registry import Job, JobContext, job

CLIENT = "execute"


@pytest.fixture
def bus(settings: Settings) -> Iterator[SyncBus]:
    with SyncBus(settings) as bus:
        yield bus


def submit(bus: SyncBus, content: str = "hi") -> str:
    request = JobRequest(task_type="t", job_type="t", content=content)
    job_id = new_job_id()
    bus.call(lambda bus: job_log.create(bus.stream, CLIENT, request, job_id=job_id))
    return job_id


def read(bus: SyncBus, job_id: str) -> JobState:
    return bus.call(lambda bus: job_log.read(bus.stream, CLIENT, job_id))


def run(function: Callable[..., Any], bus: SyncBus, settings: Settings) -> JobState:
    job_id = submit(bus)
    execute(Job(function, "t", "t"), CLIENT, job_id, bus, settings)
    return read(bus, job_id)


@job
def shout(content: str, job: JobContext) -> str:
    return f"{content.upper()} {job.job_id} {job.attempt}"


def test_a_result_is_stored(bus: SyncBus, settings: Settings) -> None:
    state = run(shout, bus, settings)
    assert isinstance(state.last, JobResult)
    assert state.last.payload == f"HI {state.job_id} 1"


def raises(content: str, job: JobContext) -> str:
    raise ValueError("no <dictionary>\n" + "x" * 1000)


def exits(content: str, job: JobContext) -> str:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (raises, "ValueError: no <dictionary>"),
        (exits, "SystemExit: 3"),
        (lambda content, job: None, "returned NoneType, not text"),
        (lambda content, job: b"x", "returned bytes, not text"),
        (lambda content, job: "\ud800", "no valid Unicode"),
        (lambda content, job: "x" * 10_000_000, "10000000 bytes; at most 262144"),
    ],
)
def test_whatever_else_happens_is_a_failure_with_its_reason(
    bus: SyncBus, settings: Settings, function: Callable[..., Any], reason: str
) -> None:
    state = run(function, bus, settings)
    assert isinstance(state.last, JobFailed)
    assert state.last.payload.startswith("❌ Job failed: ")
    assert reason in state.last.payload
    assert len(state.last.payload) <= len("❌ Job failed: ") + LONGEST_REASON
    assert "Traceback" not in state.last.payload


def test_a_job_that_has_ended_is_not_run_again(bus: SyncBus, settings: Settings) -> None:
    job_id = submit(bus)
    runs: list[int] = []

    def count(content: str, job: JobContext) -> str:
        runs.append(job.attempt)
        return "done"

    for _ in range(3):
        execute(Job(count, "t", "t"), CLIENT, job_id, bus, settings)
    assert runs == [1]


@pytest.mark.parametrize("job_id", ["unknown", "a.b", "*", "", "x" * 100])
def test_a_task_without_a_job_is_dropped(bus: SyncBus, settings: Settings, job_id: str) -> None:
    execute(shout, CLIENT, job_id, bus, settings)


def test_a_task_whose_job_is_garbage_is_dropped(bus: SyncBus, settings: Settings) -> None:
    job_id = submit(bus)
    bus.call(lambda bus: bus.stream.append(subjects.job(CLIENT, job_id), b"garbage"))
    execute(shout, CLIENT, job_id, bus, settings)


def test_a_result_waits_for_nats(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    running, away = threading.Event(), threading.Event()

    def slow(content: str, job: JobContext) -> str:
        running.set()
        assert away.wait(20)
        return "late but stored"

    try:
        settings = Settings.load(nats_url=server.url, append_timeout=0.5, connect_timeout=1)
        with SyncBus(settings) as bus:
            job_id = submit(bus)
            worker = threading.Thread(target=execute, args=(Job(slow, "t", "t"), CLIENT, job_id, bus, settings))
            worker.start()
            assert running.wait(20)
            server.kill()
            away.set()
            server.start()
            worker.join(30)
            assert not worker.is_alive()
            wait_until(lambda: read(bus, job_id).ended, "end in the stream")
            assert read(bus, job_id).last.payload == "late but stored"
    finally:
        server.kill()
