"""Executing a job: whatever the function does, the job gets one end and the task returns."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery.exceptions import Reject

from bus import Bus, Settings, SyncBus, job_log, leases, liveness, subjects
from bus.job_log import JobRequest, JobState, new_job_id
from bus.messages import JobFailed, JobResult, JobRetrying
from testbed.servers import Nats, wait_until
from tests.raw_jetstream import connected
from workers.ends import LONGEST_REASON
from workers.execute import execute
from workers.outcomes import Fail, Retry
from workers.process import WorkerProcess
from workers.registry import Job, JobContext, job
from workers.ticket import Ticket

CLIENT = "execute"


@contextmanager
def working(settings: Settings) -> Iterator[WorkerProcess]:
    process = WorkerProcess(SyncBus(settings), settings)
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def process(settings: Settings) -> Iterator[WorkerProcess]:
    with working(settings) as process:
        yield process


@pytest.fixture
def bus(process: WorkerProcess) -> SyncBus:
    return process.bus


def submit(bus: SyncBus, content: str = "hi") -> str:
    request = JobRequest(task_type="t", job_type="t", content=content)
    job_id = new_job_id()
    bus.call(lambda bus: job_log.create(bus.stream, CLIENT, request, job_id=job_id))
    return job_id


def read(bus: SyncBus, job_id: str) -> JobState:
    return bus.call(lambda bus: job_log.read(bus.stream, CLIENT, job_id))


def life(bus: SyncBus, job_id: str) -> list[str]:
    """The actions of a job's events."""

    async def replay(bus: Bus) -> list[str]:
        subject = subjects.job(CLIENT, job_id)
        return [step.event.action async for step in job_log.steps(bus.stream, subject)]

    return bus.call(replay)


def epoch(bus: SyncBus) -> str:
    return bus.call(lambda bus: bus.stream.state()).epoch


def run(function: Callable[..., Any], process: WorkerProcess) -> JobState:
    job_id = submit(process.bus)
    execute(Job(function, "t", "t"), CLIENT, job_id, process)
    return read(process.bus, job_id)


@job
def shout(content: str, job: JobContext) -> str:
    return f"{content.upper()} {job.job_id} {job.attempt}"


def test_a_result_is_stored(bus: SyncBus, process: WorkerProcess) -> None:
    state = run(shout, process)
    assert isinstance(state.last, JobResult)
    assert state.last.payload == f"HI {state.job_id} 1"


def raises(content: str, job: JobContext) -> str:
    raise ValueError("no <dictionary>\n" + "x" * 1000)


def exits(content: str, job: JobContext) -> str:
    raise SystemExit(3)


def raising(error: BaseException) -> Callable[..., Any]:
    def function(content: str, job: JobContext) -> str:
        raise error

    return function


def recurses(content: str, job: JobContext) -> str:
    return recurses(content, job)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Odd(str):
    """Text whose methods are of no use."""

    def encode(self, *_: object) -> bytes:
        raise RuntimeError("no bytes")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (raises, "ValueError: no <dictionary>"),
        (exits, "SystemExit: 3"),
        (raising(SystemExit(-241)), "SystemExit: -241"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (raising(GeneratorExit()), "GeneratorExit"),
        (raising(asyncio.CancelledError()), "CancelledError"),
        (raising(MemoryError()), "MemoryError"),
        (raising(Unspeakable()), "Unspeakable"),
        (raising(ValueError("\ud800" * 400)), "ValueError: ???"),
        (recurses, "RecursionError: maximum recursion depth exceeded"),
        (lambda content, job: None, "returned NoneType, not text"),
        (lambda content, job: b"x", "returned bytes, not text"),
        (lambda content, job: "\ud800", "not valid Unicode"),
        (lambda content, job: "x" * 10_000_000, "10000000 bytes; at most 262144"),
        # Its JSON alone would fit into one message of NATS, which has 1,048,576 bytes with its headers.
        (lambda content, job: "\x01" * 174_748, "takes at most 1048576"),
    ],
)
def test_whatever_else_happens_is_a_failure_with_its_reason(
    bus: SyncBus, process: WorkerProcess, function: Callable[..., Any], reason: str
) -> None:
    state = run(function, process)
    assert isinstance(state.last, JobFailed)
    assert state.last.payload.startswith("❌ Job failed: ")
    assert reason in state.last.payload
    assert len(state.last.payload) <= len("❌ Job failed: ") + LONGEST_REASON
    assert "Traceback" not in state.last.payload


def test_of_a_text_of_another_class_the_text_is_stored(process: WorkerProcess) -> None:
    assert run(lambda content, job: Odd("odd"), process).last.payload == "odd"


def test_a_job_that_has_ended_is_not_run_again(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    runs: list[int] = []

    def count(content: str, job: JobContext) -> str:
        runs.append(job.attempt)
        return "done"

    for _ in range(3):
        execute(Job(count, "t", "t"), CLIENT, job_id, process)
    assert runs == [1]


def test_a_ticket_saves_the_read_and_changes_nothing_else(bus: SyncBus, process: WorkerProcess) -> None:
    state = read(bus, submit(bus, "ticket"))
    execute(Job(shout.function, "t", "t"), CLIENT, state.job_id, process, Ticket.of(state))
    ended = read(bus, state.job_id)
    assert ended.last.payload == f"TICKET {state.job_id} 1"
    assert life(bus, state.job_id) == ["job_queued", "job_started", "job_result"]


def test_a_ticket_that_is_out_of_date_runs_nothing_twice(bus: SyncBus, process: WorkerProcess) -> None:
    queued = read(bus, submit(bus))
    ticket = Ticket.of(queued)
    runs: list[int] = []

    def count(content: str, job: JobContext) -> str:
        runs.append(job.attempt)
        return "done"

    for _ in range(3):
        execute(Job(count, "t", "t"), CLIENT, queued.job_id, process, ticket)
    assert runs == [1]
    assert life(bus, queued.job_id) == ["job_queued", "job_started", "job_result"]


def test_a_job_cancelled_before_its_ticket_is_used_does_not_run(bus: SyncBus, process: WorkerProcess) -> None:
    queued = read(bus, submit(bus))
    bus.call(lambda bus: job_log.cancel(bus.stream, CLIENT, queued.job_id))
    execute(Job(raises, "t", "t"), CLIENT, queued.job_id, process, Ticket.of(queued))
    assert life(bus, queued.job_id) == ["job_queued", "job_cancelled"]


def test_a_ticket_from_before_the_worker_died_is_read_up_to_date(bus: SyncBus, process: WorkerProcess) -> None:
    queued = read(bus, submit(bus))
    begin_and_die(bus, queued)
    execute(Job(shout.function, "t", "t"), CLIENT, queued.job_id, process, Ticket.of(queued))
    assert read(bus, queued.job_id).last.payload == f"HI {queued.job_id} 2"


def test_a_ticket_of_a_job_that_another_worker_runs_is_dropped(bus: SyncBus, process: WorkerProcess) -> None:
    queued = read(bus, submit(bus))

    def duplicate(content: str, job: JobContext) -> str:
        execute(Job(raises, "t", "t"), CLIENT, queued.job_id, process, Ticket.of(queued))
        return "the first"

    with working(process.settings) as first:
        execute(Job(duplicate, "t", "t"), CLIENT, queued.job_id, first, Ticket.of(queued))
    assert life(bus, queued.job_id) == ["job_queued", "job_started", "job_result"]
    assert read(bus, queued.job_id).last.payload == "the first"


def test_a_claim_of_this_process_that_no_task_works_on_any_more_is_followed_by_another(
    bus: SyncBus, process: WorkerProcess
) -> None:
    queued = read(bus, submit(bus))
    bus.call(lambda bus: job_log.start(bus.stream, queued, instance=process.instance_id(os.getpid())))
    execute(Job(shout.function, "t", "t"), CLIENT, queued.job_id, process, Ticket.of(queued))
    assert read(bus, queued.job_id).last.payload == f"HI {queued.job_id} 2"


def test_a_ticket_for_no_job_is_dropped(bus: SyncBus, process: WorkerProcess) -> None:
    ticket = Ticket(seq=1, attempt=0, ref=None, request=JobRequest(task_type="t", job_type="t", content="x"))
    for job_id in ("unknown", "a.b", "*"):
        execute(Job(raises, "t", "t"), CLIENT, job_id, process, ticket, system=epoch(bus))


@pytest.mark.parametrize("job_id", ["unknown", "a.b", "*", "", "x" * 100])
def test_a_task_without_a_job_is_dropped(bus: SyncBus, process: WorkerProcess, job_id: str) -> None:
    execute(shout, CLIENT, job_id, process, system=epoch(bus))


@pytest.mark.parametrize("system", [None, "another epoch"])
def test_one_that_may_be_another_systems_is_not(bus: SyncBus, process: WorkerProcess, system: str | None) -> None:
    with pytest.raises(Reject) as rejected:
        execute(shout, CLIENT, "unknown", process, system=system)
    assert not rejected.value.requeue


async def remove_stream(url: str) -> None:
    async with connected(url) as operator:
        await operator.ask(f"STREAM.DELETE.{subjects.STREAM}")


def test_one_of_a_stream_that_was_made_anew_is_dropped(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    try:
        with working(Settings.load(nats_url=server.url)) as process:
            run(shout, process)
            before = epoch(process.bus)
            asyncio.run(remove_stream(server.url))
            process.bus.close()  # and connected anew, it declares the stream
            assert epoch(process.bus) != before
            execute(shout, CLIENT, "unknown", process, system=before)
    finally:
        server.kill()


def test_a_task_whose_job_is_garbage_is_dropped(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    bus.call(lambda bus: bus.stream.append(subjects.job(CLIENT, job_id), b"garbage"))
    execute(shout, CLIENT, job_id, process)


def test_a_result_waits_for_nats(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    running, away = threading.Event(), threading.Event()

    def slow(content: str, job: JobContext) -> str:
        running.set()
        assert away.wait(20)
        return "late but stored"

    try:
        settings = Settings.load(nats_url=server.url)
        with working(settings) as process:
            bus = process.bus
            job_id = submit(bus)
            worker = threading.Thread(target=execute, args=(Job(slow, "t", "t"), CLIENT, job_id, process))
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


def test_a_task_whose_claim_was_not_answered_is_not_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.execute.CLAIM_PATIENCE", 0.0)
    monkeypatch.setattr(leases, "LEASE_TIMEOUT", 0.2)
    server = Nats(tmp_path)
    server.start()
    try:
        with working(Settings.load(nats_url=server.url, append_timeout=0.2)) as process:
            run(shout, process)  # it is connected, and proven to live
            queued = read(process.bus, submit(process.bus))
            server.pause()
            with structlog.testing.capture_logs() as logs:
                once = Job(shout.function, "t", "t", max_attempts=1)
                worker = in_background(once, queued.job_id, process, Ticket.of(queued))
                for doubt in ("did not answer an append", "cannot prove that it lives"):
                    wait_until(lambda doubt=doubt: any(doubt in entry.get("error", "") for entry in logs), doubt)
                    monkeypatch.setattr(liveness, "LONGEST_SILENCE", 0.0)
            server.resume()
            worker.join(30)
            assert life(process.bus, queued.job_id) == ["job_queued", "job_started", "job_result"]
    finally:
        server.kill()


def in_background(job: Job, job_id: str, process: WorkerProcess, ticket: Ticket | None = None) -> threading.Thread:
    """Execute as the threads pool does."""
    thread = threading.Thread(target=execute, args=(job, CLIENT, job_id, process, ticket))
    thread.start()
    return thread


def cancel(bus: SyncBus, job_id: str) -> None:
    state = bus.call(lambda bus: job_log.cancel(bus.stream, CLIENT, job_id))
    assert bus.call(lambda bus: liveness.tell_cancelled(bus, state.instance, job_id))


def test_who_says_that_a_job_was_cancelled_is_not_believed_unless_the_log_says_it(
    bus: SyncBus, process: WorkerProcess
) -> None:
    job_id = submit(bus)
    running, release = threading.Event(), threading.Event()

    def waits(content: str, job: JobContext) -> str:
        running.set()
        assert release.wait(20)
        return f"cancelled: {job.cancelled.is_set()}"

    worker = in_background(Job(waits, "t", "t"), job_id, process)
    assert running.wait(20)
    instance = read(bus, job_id).instance
    with structlog.testing.capture_logs() as logs:
        assert bus.call(lambda bus: liveness.tell_cancelled(bus, instance, job_id))
        wait_until(lambda: any("and it was not" in entry["event"] for entry in logs), "look at the log")
    release.set()
    worker.join(20)
    assert read(bus, job_id).last.payload == "cancelled: False"


def test_a_cancelled_job_is_left_in_the_middle(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    running = threading.Event()

    def endless(content: str, job: JobContext) -> str:
        running.set()
        threading.Event().wait(100)
        return "never"

    def cancel_when_running() -> None:
        assert running.wait(20)
        cancel(bus, job_id)

    canceller = threading.Thread(target=cancel_when_running)
    canceller.start()
    execute(Job(endless, "t", "t"), CLIENT, job_id, process)
    canceller.join(20)
    assert read(bus, job_id).state == "job_cancelled"


def test_a_job_that_is_cancelled_while_it_is_left_already_comes_to_its_end(
    bus: SyncBus, process: WorkerProcess
) -> None:
    job_id = submit(bus)
    leaving, release = threading.Event(), threading.Event()
    ended: list[str] = []

    def cleans_up(content: str, job: JobContext) -> str:
        try:
            threading.Event().wait(100)
        finally:
            leaving.set()
            assert release.wait(20)
            ended.append("cleaned up")
        return "never"

    def cancel_when_leaving() -> None:
        assert leaving.wait(20)
        cancel(bus, job_id)
        for _ in range(3):  # behind the look of the process at the log
            read(bus, job_id)
        release.set()

    canceller = threading.Thread(target=cancel_when_leaving)
    canceller.start()
    execute(Job(cleans_up, "t", "t", time_limit=0.2), CLIENT, job_id, process)
    canceller.join(20)
    assert ended == ["cleaned up"]
    assert read(bus, job_id).state == "job_cancelled"


def test_under_threads_a_cancelled_job_sees_it(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    running = threading.Event()

    def cooperative(content: str, job: JobContext) -> str:
        running.set()
        assert job.cancelled.wait(20)
        return "too late"

    thread = in_background(Job(cooperative, "t", "t"), job_id, process)
    assert running.wait(20)
    cancel(bus, job_id)
    thread.join(20)
    assert not thread.is_alive()
    assert read(bus, job_id).state == "job_cancelled"


def test_a_job_over_its_time_fails(bus: SyncBus, process: WorkerProcess) -> None:
    def endless(content: str, job: JobContext) -> str:
        threading.Event().wait(100)
        return "never"

    job_id = submit(bus)
    execute(Job(endless, "t", "t", time_limit=0.2), CLIENT, job_id, process)
    assert read(bus, job_id).last.payload == "❌ Job failed: it took longer than 0.2 s"


def test_a_job_over_its_time_is_left_whatever_it_has_done_to_a_loop_of_its_own(
    bus: SyncBus, process: WorkerProcess
) -> None:
    ended: list[object] = []

    def leaves_somebody_waiting(content: str, job: JobContext) -> str:
        async def wait() -> None:
            await job.cancelled

        loop = asyncio.new_event_loop()
        task = loop.create_task(wait())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        threading.Event().wait(20)
        ended.append(task)
        return "never"

    job_id = submit(bus)
    execute(Job(leaves_somebody_waiting, "t", "t", time_limit=0.2), CLIENT, job_id, process)
    assert read(bus, job_id).last.payload == "❌ Job failed: it took longer than 0.2 s"
    assert not ended


def test_a_job_over_its_time_that_does_not_notice_fails_all_the_same(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    release = threading.Event()

    def deaf(content: str, job: JobContext) -> str:
        assert release.wait(60)
        return "too late"

    thread = in_background(Job(deaf, "t", "t", time_limit=0.1), job_id, process)
    wait_until(lambda: read(bus, job_id).ended, "failure in the stream")
    release.set()
    thread.join(20)
    assert read(bus, job_id).last.payload == "❌ Job failed: it took longer than 0.1 s"


def test_listed_exceptions_are_tried_again_up_to_the_last_attempt(bus: SyncBus, process: WorkerProcess) -> None:
    attempts: list[int] = []

    def flaky(content: str, job: JobContext) -> str:
        attempts.append(job.attempt)
        if job.attempt < 3:
            raise ConnectionError("not yet")
        return "at last"

    retrying = Job(flaky, "t", "t", max_attempts=3, backoff=0.01, retry_on=(ConnectionError,))
    job_id = submit(bus)
    execute(retrying, CLIENT, job_id, process)
    assert read(bus, job_id).last.payload == "at last"
    assert attempts == [1, 2, 3]
    assert life(bus, job_id) == ["job_queued", *["job_started", "job_retrying"] * 2, "job_started", "job_result"]

    job_id = submit(bus)
    execute(Job(flaky, "t", "t", max_attempts=2, backoff=0.01, retry_on=(OSError,)), CLIENT, job_id, process)
    assert read(bus, job_id).last.payload == "❌ Job failed: ConnectionError: not yet"


def raising_once(error: Exception) -> Callable[..., str]:
    def function(content: str, job: JobContext) -> str:
        if job.attempt == 1:
            raise error
        return "at last"

    return function


def retrying_of(bus: SyncBus, job_id: str) -> list[tuple[JobRetrying, datetime]]:
    """The `job_retrying` of a job, and when each was stored."""

    async def replay(bus: Bus) -> list[tuple[JobRetrying, datetime]]:
        found = [step async for step in job_log.steps(bus.stream, subjects.job(CLIENT, job_id))]
        return [(step.event, step.at) for step in found if isinstance(step.event, JobRetrying)]

    return bus.call(replay)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Retry(after=0.01, reason="the printer is busy"), "the printer is busy"),
        (Retry(), "it asked to be tried again"),
        (OSError("\ud800" + "x" * 1000), "OSError: ?" + "x" * (LONGEST_REASON - 11) + "…"),
    ],
)
def test_clients_see_why_a_job_is_tried_again_and_when(
    bus: SyncBus, process: WorkerProcess, error: Exception, reason: str
) -> None:
    job_id = submit(bus)
    execute(Job(raising_once(error), "t", "t", backoff=0.01, retry_on=(OSError,)), CLIENT, job_id, process)
    assert read(bus, job_id).last.payload == "at last"
    [(event, stored_at)] = retrying_of(bus, job_id)
    assert (event.attempt, event.reason) == (1, reason)
    assert event.payload == f"↻ Job will be tried again: {reason}"
    assert event.next_at is not None
    assert abs(datetime.fromisoformat(event.next_at) - stored_at) < timedelta(seconds=10)


def test_a_job_that_asks_for_more_attempts_than_it_has_fails_with_its_reason(
    bus: SyncBus, process: WorkerProcess
) -> None:
    job_id = submit(bus)
    never = raising(Retry(after=0, reason="the printer is busy"))
    execute(Job(never, "t", "t", max_attempts=2), CLIENT, job_id, process)
    assert life(bus, job_id) == ["job_queued", "job_started", "job_retrying", "job_started", "job_failed"]
    assert read(bus, job_id).last.payload == "❌ Job failed: the printer is busy"


def test_a_job_that_says_it_failed_is_not_tried_again(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    execute(Job(raising(Fail("the order is closed")), "t", "t", retry_on=(Exception,)), CLIENT, job_id, process)
    assert life(bus, job_id) == ["job_queued", "job_started", "job_failed"]
    assert read(bus, job_id).last.payload == "❌ Job failed: the order is closed"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 3601])
def test_a_pause_that_nobody_can_wait_for_is_refused_where_it_is_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 3600"):
        Retry(after=seconds)


def test_a_job_over_its_time_is_not_tried_again(bus: SyncBus, process: WorkerProcess) -> None:
    def gives_up(content: str, job: JobContext) -> str:
        try:
            threading.Event().wait(100)
        finally:
            raise Retry(reason="it takes so long")

    job_id = submit(bus)
    execute(Job(gives_up, "t", "t", time_limit=0.2), CLIENT, job_id, process)
    assert read(bus, job_id).last.payload == "❌ Job failed: it took longer than 0.2 s"


def waiting_for_an_hour(bus: SyncBus, process: WorkerProcess) -> tuple[str, threading.Thread]:
    """A job that waits for its second attempt, and its worker."""
    job_id = submit(bus)
    thread = in_background(Job(raising_once(Retry(after=3600)), "t", "t"), job_id, process)
    wait_until(lambda: read(bus, job_id).state == "job_retrying", "job that waits")
    return job_id, thread


def test_a_cancel_ends_the_wait_for_the_next_attempt_at_once(bus: SyncBus, process: WorkerProcess) -> None:
    job_id, thread = waiting_for_an_hour(bus, process)
    cancel(bus, job_id)
    thread.join(20)
    assert not thread.is_alive()
    assert life(bus, job_id) == ["job_queued", "job_started", "job_retrying", "job_cancelled"]


def test_nobody_else_takes_a_job_that_waits_for_its_next_attempt(bus: SyncBus, process: WorkerProcess) -> None:
    with working(process.settings) as other:
        job_id, thread = waiting_for_an_hour(bus, other)
        execute(Job(shout.function, "t", "t"), CLIENT, job_id, process)
        assert read(bus, job_id).state == "job_retrying"
        cancel(bus, job_id)
        thread.join(20)


def test_a_job_whose_worker_died_while_it_waited_is_taken_over(bus: SyncBus, process: WorkerProcess) -> None:
    state = begin_and_die(bus, read(bus, submit(bus)))
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    bus.call(lambda bus: job_log.retry(bus.stream, state, "no ink", next_at=in_an_hour))
    execute(Job(shout.function, "t", "t"), CLIENT, state.job_id, process)
    assert read(bus, state.job_id).last.payload == f"HI {state.job_id} 2"


def begin_and_die(bus: SyncBus, state: JobState) -> JobState:
    """An attempt of a worker whose main process saw it die."""
    started = bus.call(lambda bus: job_log.start(bus.stream, state, instance="dead"))
    bus.call(leases.declare)
    bus.call(lambda bus: leases.give_up(bus, "dead"))
    return started


def test_a_job_whose_worker_died_fails_after_its_last_attempt(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    state = read(bus, job_id)
    for _ in range(2):  # two workers that began and were never heard of again
        state = begin_and_die(bus, state)
    execute(Job(shout.function, "t", "t", max_attempts=2), CLIENT, job_id, process)
    assert "its worker died in attempt 2, the last one allowed" in read(bus, job_id).last.payload


def test_a_job_that_another_worker_runs_is_left_to_it(bus: SyncBus, process: WorkerProcess) -> None:
    job_id = submit(bus)
    running, release = threading.Event(), threading.Event()

    def slow(content: str, job: JobContext) -> str:
        running.set()
        assert release.wait(60)
        return f"attempt {job.attempt}"

    with working(process.settings) as other:
        thread = in_background(Job(slow, "t", "t"), job_id, other)
        assert running.wait(20)
        execute(Job(slow, "t", "t"), CLIENT, job_id, process)
        assert not read(bus, job_id).ended
        release.set()
        thread.join(20)
    assert read(bus, job_id).last.payload == "attempt 1"


async def test_progress_is_shown_now_and_then_and_the_latest_wins(nats: Nats) -> None:
    settings = Settings.load(nats_url=nats.url, progress_interval=0.05)
    heard: list[dict[str, Any]] = []

    def busy(content: str, job: JobContext) -> str:
        for step in range(5001):
            job.progress(step / 5000, f"step {step}")
        job.progress(True, "caf\udce9")
        with pytest.raises(ValueError, match="from 0 to 1"):
            job.progress(2)
        with pytest.raises(ValueError, match="is text or None"):
            job.progress(1, b"step")  # type: ignore[arg-type]
        wait_until(lambda: bool(heard) and heard[-1]["message"] == "caf?", "last progress")
        return "done"

    async with Bus(settings) as listener:
        await listener.subscribe_progress(CLIENT, lambda stored: heard.append(json.loads(stored.data)))
        await listener.confirm_subscriptions()
        with working(settings) as process:
            job_id = await asyncio.to_thread(submit, process.bus)
            await asyncio.to_thread(execute, Job(busy, "t", "t"), CLIENT, job_id, process)
            await listener.confirm_subscriptions()
    shown = [frame for frame in heard if frame["action"] == "job_progress"]
    assert len(shown) < 500
    assert shown[-1] == {"action": "job_progress", "payload": 1.0, "job_id": job_id, "message": "caf?"}
    assert [frame["payload"] for frame in shown] == sorted(frame["payload"] for frame in shown)
