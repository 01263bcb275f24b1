"""Whose turn it is, as the job log tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count

from bus import times
from bus.job_log import JobRequest, Step
from bus.messages import JobEvent, JobQueued, JobRequeued, JobResult, JobStarted
from bus.stored import OVERHEAD, Stored
from workers.open_jobs import SCHEDULED, OpenJob, OpenJobs


class Log:
    """Steps in stream order, and the table that they make."""

    def __init__(self, window: int = 2) -> None:
        self.now = 0.0
        self.table = OpenJobs(window, lambda: self.now)
        self._seqs = count(1)

    def queue(self, *job_ids: str, client: str = "ann", queue: str = "jobs", waits: bool = True) -> None:
        for job_id in job_ids:
            request = JobRequest(task_type="t", job_type="t", content="x", queue=queue)
            self._step(client, job_id, JobQueued(payload=""), request, waits=waits)

    def schedule(self, *job_ids: str, at: float, client: str = "ann") -> None:
        not_before = times.written(datetime.fromtimestamp(at, UTC))
        for job_id in job_ids:
            request = JobRequest(task_type="t", job_type="t", content="x", not_before=not_before)
            self._step(client, job_id, JobQueued(payload=""), request, waits=True)

    def pass_time(self, now: float) -> None:
        self.now = now
        self.table.release()

    def start(self, job_id: str, client: str = "ann") -> None:
        self._step(client, job_id, JobStarted(payload="", attempt=1), instance="child")

    def requeue(self, job_id: str, client: str = "ann") -> None:
        self._step(client, job_id, JobRequeued(payload="", attempt=0, times=3))

    def carry(self, job_id: str, client: str = "ann", data: bytes = b"") -> None:
        request = JobRequest(task_type="t", job_type="t", content="x")
        self._step(client, job_id, JobQueued(payload=""), request, carried=True, data=data)

    def end(self, *job_ids: str, client: str = "ann") -> None:
        for job_id in job_ids:
            self._step(client, job_id, JobResult(payload=""))

    def _step(
        self,
        client: str,
        job_id: str,
        event: JobEvent,
        request: JobRequest | None = None,
        *,
        instance: str | None = None,
        waits: bool = False,
        carried: bool = False,
        data: bytes = b"",
    ) -> None:
        stored = Stored(next(self._seqs), "", data)
        self.table.apply(Step(client, job_id, event, request, instance, stored, carried, waits))

    @property
    def due(self) -> list[str]:
        return [job.job_id for job in self.table.due]

    def job(self, job_id: str) -> OpenJob:
        return next(job for job in self.table if job.job_id == job_id)


def test_the_first_jobs_of_each_client_are_due() -> None:
    log = Log()
    log.queue("a", "b", "c", "d")
    log.queue("e", client="bob")
    assert log.due == ["a", "b", "e"]


def test_an_end_lets_the_next_job_in_and_it_is_due_once() -> None:
    log = Log()
    log.queue("a", "b", "c", "d")
    for job in log.table.due:
        log.table.enqueued(job)
    assert log.due == []
    log.end("b")
    assert log.due == ["c"]
    log.table.enqueued(log.job("c"))
    assert log.table.waiting == 1
    log.end("a", "c")
    assert log.due == ["d"]


def test_the_end_of_a_job_that_waits_lets_nobody_in() -> None:
    log = Log()
    log.queue("a", "b", "c", "d")
    log.end("c")
    assert log.due == ["a", "b"]
    log.end("a")
    assert log.due == ["b", "d"]


def test_a_job_that_was_enqueued_by_whoever_submitted_it_has_a_place_and_is_never_due() -> None:
    log = Log()
    log.queue("a", "b", "c", waits=False)
    log.queue("d")
    log.end("a", "b")
    assert [job.job_id for job in log.table if job.admitted] == ["c", "d"]
    assert log.due == ["d"]


def test_a_job_that_somebody_started_or_enqueued_again_is_not_due() -> None:
    log = Log()
    log.queue("a", "b")
    log.start("a")
    log.requeue("b")
    assert log.due == []
    assert (log.job("a").instance, log.job("b").requeued) == ("child", 3)


def test_jobs_of_a_queue_do_not_wait_for_those_of_another() -> None:
    log = Log()
    log.queue("a", "b", "c", queue="heavy")
    log.queue("d")
    assert log.due == ["a", "b", "d"]
    assert log.table.count("ann") == {"heavy": 3, "jobs": 1}


def test_nothing_is_kept_of_jobs_that_have_ended() -> None:
    log = Log()
    log.queue("a", "b", "c")
    log.end("a", "b", "c", "never-queued")
    assert (len(log.table), log.table.waiting, log.due, log.table.count("ann"), log.table._lines) == (0, 0, [], {}, {})


def test_a_job_whose_beginning_is_gone_is_open() -> None:
    log = Log()
    log.start("a")
    assert log.job("a").seq == 1


def test_letting_jobs_in_costs_the_same_however_many_wait() -> None:
    log = Log()
    ids = [str(number) for number in range(20_000)]
    log.queue(*ids)
    for job_id in ids:  # a table that looked through those that have ended would take minutes
        assert log.due[0] == job_id
        log.end(job_id)
    assert not len(log.table)


def test_a_job_that_is_carried_forward_stays_where_it_is_in_line() -> None:
    log = Log()
    log.queue("a", "b", "c", waits=True)
    due = log.due
    log.carry("b")
    assert log.due == due
    assert (log.job("b").seq, log.job("b").waits, log.job("b").kept) == (4, True, None)


def test_a_job_that_waits_for_its_time_is_due_when_that_has_come_and_those_before_it_first() -> None:
    log = Log()
    log.schedule("late", at=20)
    log.schedule("soon", at=10)
    assert (log.due, log.table.next_time) == ([], 10)
    log.pass_time(9.9)
    assert log.due == []
    log.pass_time(10)
    assert (log.due, log.table.next_time) == (["soon"], 20)
    log.pass_time(20)
    assert (log.due, log.table.next_time) == (["soon", "late"], None)


def test_a_job_that_waits_for_its_time_takes_no_place_of_another_and_counts_as_open() -> None:
    log = Log()
    log.schedule("a", "b", "c", at=10)
    log.queue("d", "e", "f")
    assert log.due == ["d", "e"]
    assert log.table.count("ann") == {SCHEDULED: 3, "jobs": 3}
    assert log.table.waiting == 3  # no end of another job lets one in before its time, so nobody has to hear of it
    log.pass_time(10)
    assert log.due == ["d", "e"]
    assert log.table.count("ann") == {"jobs": 6}
    log.end("d")
    assert log.due == ["e", "f"]


def test_a_job_takes_the_bytes_of_the_event_that_tells_its_request_until_it_ends() -> None:
    log = Log()
    log.queue("a", "b")
    log.queue("c", client="bob")
    log.start("a")
    assert (log.table.bytes_of("ann"), log.table.bytes_of("bob")) == (2 * OVERHEAD, OVERHEAD)
    log.carry("a", data=b"123")
    assert log.table.bytes_of("ann") == 2 * OVERHEAD + 3
    log.end("a")
    assert log.table.bytes_of("ann") == OVERHEAD
    log.end("b")
    assert (log.table.bytes_of("ann"), list(log.table._bytes)) == (0, ["bob"])


def test_a_time_that_has_passed_means_at_once() -> None:
    log = Log()
    log.now = 11
    log.schedule("a", at=10)
    assert (log.due, log.table.next_time) == (["a"], None)


def test_a_job_that_is_carried_forward_keeps_its_time() -> None:
    log = Log()
    log.schedule("a", at=10)
    log.carry("a")
    assert log.due == []
    log.pass_time(10)
    assert (log.due, log.job("a").seq) == (["a"], 2)


def test_a_job_that_somebody_started_before_its_time_is_in_line_and_not_due() -> None:
    log = Log()
    log.schedule("a", at=10)
    log.start("a")
    assert (log.due, log.job("a").admitted, log.table.count("ann")) == ([], True, {"jobs": 1})
    log.pass_time(10)
    assert (log.due, log.table.waiting) == ([], 0)


def test_nothing_is_kept_of_jobs_that_were_called_off_before_their_time() -> None:
    log = Log()
    log.schedule("kept", at=1e9)
    for number in range(5000):
        log.schedule(str(number), at=1e9)
        log.end(str(number))
    assert len(log.table._times) < 1100
    log.end("kept")
    assert (len(log.table), log.table.waiting, log.table.count("ann"), log.table._lines) == (0, 0, {}, {})
