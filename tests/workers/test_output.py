"""Output: what a job yields or writes is stored while it runs, in order and once, and is its result in the end."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bus import Bus, Settings, SyncBus, job_log, liveness, subjects
from bus.job_log import JobRequest, JobState, new_job_id
from testbed.servers import Nats, wait_until
from workers.execute import execute
from workers.interrupt import Interrupted
from workers.process import WorkerProcess
from workers.registry import Job, JobContext

CLIENT = "output"


@dataclass(frozen=True)
class Piece:
    attempt: int
    index: int
    text: str


@contextmanager
def working(settings: Settings) -> Iterator[WorkerProcess]:
    process = WorkerProcess(SyncBus(settings), settings)
    try:
        yield process
    finally:
        process.close()


@pytest.fixture(scope="module")
def process(nats: Nats) -> Iterator[WorkerProcess]:
    with working(Settings.load(nats_url=nats.url, job_result_max_bytes=1_000_000)) as process:
        yield process


def submit(process: WorkerProcess) -> str:
    request = JobRequest(task_type="t", job_type="t", content="hi")
    job_id = new_job_id()
    process.bus.call(lambda bus: job_log.create(bus.stream, CLIENT, request, job_id=job_id))
    return job_id


def read(process: WorkerProcess, job_id: str) -> JobState:
    return process.bus.call(lambda bus: job_log.read(bus.stream, CLIENT, job_id))


def pieces(process: WorkerProcess, job_id: str) -> list[Piece]:
    """What is stored of a job's output, in the order of the stream; the attempt's pieces are counted without a gap."""

    async def replay(bus: Bus) -> list[Piece]:
        frames = [json.loads(s.data) async for s in bus.stream.replay(subjects.output(CLIENT, job_id), after=0)]
        return [Piece(frame["attempt"], frame["index"], frame["payload"]) for frame in frames]

    found = process.bus.call(replay)
    for attempt in {piece.attempt for piece in found}:
        indices = [piece.index for piece in found if piece.attempt == attempt]
        assert indices == list(range(len(indices)))
    return found


def text(found: list[Piece], attempt: int = 1) -> str:
    return "".join(piece.text for piece in found if piece.attempt == attempt)


def run(function: Callable[..., Any], process: WorkerProcess, **options: Any) -> tuple[JobState, list[Piece]]:
    job_id = submit(process)
    execute(Job(function, "t", "t", **options), CLIENT, job_id, process)
    return read(process, job_id), pieces(process, job_id)


def in_background(
    function: Callable[..., Any], job_id: str, process: WorkerProcess, **options: Any
) -> threading.Thread:
    """Execute as the threads pool does."""
    job = Job(function, "t", "t", **options)
    thread = threading.Thread(target=execute, args=(job, CLIENT, job_id, process))
    thread.start()
    return thread


def cancel(process: WorkerProcess, job_id: str) -> None:
    state = process.bus.call(lambda bus: job_log.cancel(bus.stream, CLIENT, job_id))
    assert process.bus.call(lambda bus: liveness.tell_cancelled(bus, state.instance, job_id))


def yields(content: str, job: JobContext) -> Iterator[str]:
    yield "Once "
    yield ""
    yield "upon 🌍"


def yields_and_returns(content: str, job: JobContext) -> Any:
    yield "Once "
    return "upon 🌍"


def writes(content: str, job: JobContext) -> None:
    job.write("Once ")
    job.write("upon 🌍")


def writes_and_returns(content: str, job: JobContext) -> str:
    job.write("Once ")
    return "upon 🌍"


async def coroutine(content: str, job: JobContext) -> None:
    job.write("Once ")
    await asyncio.sleep(0)
    await job.write("upon 🌍")


async def async_yields(content: str, job: JobContext) -> AsyncIterator[str]:
    yield "Once "
    await asyncio.sleep(0)
    yield "upon 🌍"


EVERY_KIND = [yields, yields_and_returns, writes, writes_and_returns, coroutine, async_yields]


@pytest.mark.parametrize("function", EVERY_KIND)
def test_what_a_job_writes_is_stored_and_is_its_result(process: WorkerProcess, function: Callable[..., Any]) -> None:
    state, found = run(function, process)
    assert state.last.payload == "Once upon 🌍"
    assert text(found) == "Once upon 🌍"


async def returns(content: str, job: JobContext) -> str:
    await asyncio.sleep(0)
    return "returned"


def test_an_async_job_that_writes_nothing_has_a_result_and_no_output(process: WorkerProcess) -> None:
    state, found = run(returns, process)
    assert (state.last.payload, found) == ("returned", [])


def test_a_generator_that_yields_nothing_has_an_empty_result(process: WorkerProcess) -> None:
    state, found = run(lambda content, job: (text for text in ()), process)
    assert (state.state, state.last.payload, found) == ("job_result", "", [])


def wrong(what: object) -> Callable[..., Any]:
    def function(content: str, job: JobContext) -> Iterator[Any]:
        yield "right, "
        yield what

    return function


def wrong_async(what: object) -> Callable[..., Any]:
    async def function(content: str, job: JobContext) -> AsyncIterator[Any]:
        yield "right, "
        yield what

    return function


def wrong_write(what: Any) -> Callable[..., Any]:
    return lambda content, job: (job.write("right, "), job.write(what))


def wrong_return(what: Any) -> Callable[..., Any]:
    def function(content: str, job: JobContext) -> Any:
        job.write("right, ")
        return what

    return function


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (wrong(b"bytes"), "t yielded bytes, not text"),
        (wrong(None), "t yielded NoneType, not text"),
        (wrong("\ud800"), "t yielded text that is not valid Unicode"),
        (wrong_async(7), "t yielded int, not text"),
        (wrong_write(b"bytes"), "t wrote bytes, not text"),
        (wrong_return(b"bytes"), "t returned bytes, not text"),
    ],
)
def test_what_is_no_text_fails_the_job_with_the_reason(
    process: WorkerProcess, function: Callable[..., Any], reason: str
) -> None:
    state, found = run(function, process)
    assert state.last.payload == f"❌ Job failed: {reason}"
    assert text(found) == "right, "


def too_much(content: str, job: JobContext) -> Iterator[str]:
    try:
        for number in range(1000):
            assert number < 11, "it was not stopped at once"
            yield "x" * 100_000
    finally:
        CLOSED.append(job.job_id)


def writes_too_much(content: str, job: JobContext) -> None:
    job.write("x" * 1_000_000)
    try:
        job.write("x")
    except Exception:
        pytest.fail("an Exception that a job can catch by accident")


CLOSED: list[str] = []


@pytest.mark.parametrize("function", [too_much, writes_too_much, lambda content, job: job.write("x" * 2_000_000)])
def test_more_than_a_result_may_have_fails_the_job_at_once(
    process: WorkerProcess, function: Callable[..., Any]
) -> None:
    state, found = run(function, process)
    assert state.last.payload == "❌ Job failed: the result has more than 1000000 bytes, the most that are allowed"
    assert len(text(found)) in (0, 1_000_000)
    assert function is not too_much or state.job_id in CLOSED


def test_a_job_that_raises_while_it_writes_fails_and_what_it_wrote_stays(process: WorkerProcess) -> None:
    def breaks(content: str, job: JobContext) -> Iterator[str]:
        yield "so far "
        raise ValueError("no further")

    state, found = run(breaks, process)
    assert state.last.payload == "❌ Job failed: ValueError: no further"
    assert text(found) == "so far "


def test_a_new_attempt_begins_again(process: WorkerProcess) -> None:
    def flaky(content: str, job: JobContext) -> Iterator[str]:
        yield f"attempt {job.attempt}"
        if job.attempt == 1:
            wait_until(lambda: bool(pieces(process, job.job_id)), "first piece")
            raise ConnectionError
        yield ", done"

    state, found = run(flaky, process, backoff=0.01, retry_on=(ConnectionError,))
    assert state.last.payload == "attempt 2, done"
    assert (text(found, 1), text(found, 2)) == ("attempt 1", "attempt 2, done")


def test_pieces_are_joined_and_shown_while_the_job_runs(process: WorkerProcess) -> None:
    job_id = submit(process)

    def slow(content: str, job: JobContext) -> Iterator[str]:
        yield "first"
        wait_until(lambda: text(pieces(process, job_id)) == "first", "first piece")
        for _ in range(1000):
            yield "."
        wait_until(lambda: text(pieces(process, job_id)) == "first" + 1000 * ".", "the others")

    execute(Job(slow, "t", "t"), CLIENT, job_id, process)
    assert len(pieces(process, job_id)) < 100


def test_a_huge_piece_is_split_so_that_nats_takes_it(process: WorkerProcess) -> None:
    whole = "\x01🌍" * 150_000  # JSON makes ten bytes of two characters
    state, found = run(lambda content, job: job.write(whole), process)
    assert text(found) == whole
    assert state.last.payload == whole or "too large" in state.last.payload


def test_a_hundred_thousand_tiny_pieces_cost_little_more_than_one_text(process: WorkerProcess) -> None:
    count = 100_000

    def tiny(content: str, job: JobContext) -> Iterator[str]:
        for _ in range(count):
            yield "ab "

    began = time.thread_time()
    state, found = run(tiny, process)
    assert time.thread_time() - began < 2  # of this thread's CPU, so that a busy machine does not matter
    assert state.last.payload == "ab " * count == text(found)
    assert len(found) < count / 100


def test_a_thread_that_a_job_left_behind_writes_nothing_more(process: WorkerProcess) -> None:
    ended = threading.Event()
    raised: list[BaseException] = []
    threads: list[threading.Thread] = []

    def leaves_a_thread(content: str, job: JobContext) -> str:
        def write_late() -> None:
            assert ended.wait(20)
            try:
                job.write("late")
            except BaseException as error:
                raised.append(error)

        threads.append(threading.Thread(target=write_late))
        threads[0].start()
        job.write("in time")
        return ""

    state, _ = run(leaves_a_thread, process)
    ended.set()
    threads[0].join(20)
    assert state.last.payload == "in time" == text(pieces(process, state.job_id))
    assert [type(error) for error in raised] == [Interrupted]


# Stopping. Each of these writes for ever, and notes that its `finally` ran.


def endless(content: str, job: JobContext) -> Iterator[str]:
    try:
        while True:
            yield "."
            time.sleep(0.01)
    finally:
        CLOSED.append(job.job_id)


def endless_write(content: str, job: JobContext) -> None:
    try:
        while True:
            job.write(".")
            time.sleep(0.01)
    finally:
        CLOSED.append(job.job_id)


async def endless_coroutine(content: str, job: JobContext) -> None:
    try:
        await job.write(".")
        await asyncio.sleep(100)
    finally:
        await asyncio.sleep(0.01)
        CLOSED.append(job.job_id)


async def endless_async(content: str, job: JobContext) -> AsyncIterator[str]:
    try:
        while True:
            yield "."
            await asyncio.sleep(0.01)
    finally:
        await asyncio.sleep(0.01)
        CLOSED.append(job.job_id)


async def endless_wait(content: str, job: JobContext) -> None:
    job.write(".")
    waiting = asyncio.create_task(asyncio.wait_for(job.cancelled, 60))
    try:
        await asyncio.sleep(100)
    finally:
        await waiting
        CLOSED.append(job.job_id)


ENDLESS = [endless, endless_write, endless_coroutine, endless_async, endless_wait]


@pytest.fixture(params=["main thread", "another thread"])
def start(request: pytest.FixtureRequest, process: WorkerProcess) -> Callable[..., JobState]:
    """Executes as the prefork and solo pools do, or as the threads pool does, and calls `meanwhile` once it writes."""

    def start(function: Callable[..., Any], meanwhile: Callable[[str], object], **options: Any) -> JobState:
        job_id = submit(process)

        def when_it_writes() -> None:
            wait_until(lambda: bool(pieces(process, job_id)), "first piece")
            meanwhile(job_id)

        if request.param == "main thread":
            thread = threading.Thread(target=when_it_writes)
            thread.start()
            execute(Job(function, "t", "t", **options), CLIENT, job_id, process)
        else:
            thread = in_background(function, job_id, process, **options)
            when_it_writes()
        thread.join(30)
        assert not thread.is_alive()
        return read(process, job_id)

    return start


@pytest.mark.parametrize("function", ENDLESS)
def test_a_cancelled_job_is_left_where_it_is_and_what_it_wrote_stays(
    process: WorkerProcess, start: Callable[..., JobState], function: Callable[..., Any]
) -> None:
    state = start(function, lambda job_id: cancel(process, job_id))
    assert state.state == "job_cancelled"
    assert state.job_id in CLOSED
    assert set(text(pieces(process, state.job_id))) == {"."}


@pytest.mark.parametrize("function", ENDLESS)
def test_so_is_a_job_over_its_time(
    process: WorkerProcess, start: Callable[..., JobState], function: Callable[..., Any]
) -> None:
    state = start(function, lambda job_id: None, time_limit=0.3)
    assert state.last.payload == "❌ Job failed: it took longer than 0.3 s"
    assert state.job_id in CLOSED


@pytest.mark.parametrize("function", [endless, endless_write, endless_async])
def test_an_attempt_that_nats_takes_nothing_of_is_left_as_by_a_cancel(
    process: WorkerProcess, start: Callable[..., JobState], function: Callable[..., Any]
) -> None:
    def begin_another(job_id: str) -> None:
        state = read(process, job_id)
        process.bus.call(lambda bus: job_log.start(bus.stream, state, instance="other"))

    state = start(function, begin_another)
    assert (state.state, state.attempt) == ("job_started", 2)
    assert state.job_id in CLOSED
    assert {piece.attempt for piece in pieces(process, state.job_id)} == {1}


def test_a_generator_that_waits_for_something_else_is_left_at_once_in_the_main_thread(process: WorkerProcess) -> None:
    job_id = submit(process)

    def waits(content: str, job: JobContext) -> Iterator[str]:
        try:
            yield "."
            threading.Event().wait(100)
        finally:
            CLOSED.append(job_id)

    execute(Job(waits, "t", "t", time_limit=0.3), CLIENT, job_id, process)
    assert read(process, job_id).last.payload == "❌ Job failed: it took longer than 0.3 s"
    assert job_id in CLOSED
    assert text(pieces(process, job_id)) == "."


def test_async_jobs_of_a_process_share_one_loop_that_outlives_them(process: WorkerProcess) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    kept: list[asyncio.Event] = []

    async def leaves_a_task(content: str, job: JobContext) -> str:
        loops.append(asyncio.get_running_loop())
        kept.append(asyncio.Event())
        asyncio.get_running_loop().call_later(0.05, kept[-1].set)
        return "done"

    async def finds_it_done(content: str, job: JobContext) -> str:
        loops.append(asyncio.get_running_loop())
        await asyncio.wait_for(kept[0].wait(), 20)
        return "done"

    for function in (leaves_a_task, finds_it_done):
        assert run(function, process)[0].last.payload == "done"
    assert loops[0] is loops[1]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("no")])
def test_whatever_an_async_job_raises_is_its_failure(process: WorkerProcess, error: BaseException) -> None:
    async def raises(content: str, job: JobContext) -> str:
        await asyncio.sleep(0)
        raise error

    state, _ = run(raises, process)
    assert state.last.payload.startswith(f"❌ Job failed: {type(error).__name__}")
    assert run(returns, process)[0].last.payload == "returned"


# NATS away.


@pytest.fixture
def broken(tmp_path: Any) -> Iterator[tuple[Nats, WorkerProcess]]:
    """A NATS server to stop, and a worker process of it."""
    server = Nats(tmp_path)
    server.start()
    try:
        with working(Settings.load(nats_url=server.url, job_result_max_bytes=500_000, append_timeout=0.5)) as process:
            yield server, process
            server.resume()
    finally:
        server.kill()


def stands_still(written: list[str]) -> bool:
    before = len(written)
    time.sleep(0.2)
    return len(written) == before


@pytest.mark.parametrize("kind", ["killed", "frozen"])
def test_when_nats_goes_away_the_job_waits_and_every_piece_arrives_once_and_in_order(
    broken: tuple[Nats, WorkerProcess], kind: str
) -> None:
    server, process = broken
    job_id = submit(process)
    written: list[str] = []
    going, away = threading.Event(), threading.Event()

    def writer(content: str, job: JobContext) -> Iterator[str]:
        for number in range(3000):
            if number == 300:
                going.set()
                assert away.wait(20)
            written.append(f"{number:099d} ")
            yield written[-1]

    thread = in_background(writer, job_id, process)
    assert going.wait(20)
    server.kill() if kind == "killed" else server.pause()
    before = len(written)
    away.set()
    wait_until(lambda: len(written) > before and stands_still(written), "job that waits")
    assert len(written) < before + 900  # 64 KiB, and what NATS may have taken before
    server.start() if kind == "killed" else server.resume()
    thread.join(60)
    assert not thread.is_alive()
    assert read(process, job_id).last.payload == "".join(written) == text(pieces(process, job_id))
    assert len(written) == 3000


@pytest.mark.parametrize("how", ["main thread", "another thread"])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_job_that_waits_for_nats_keeps_to_its_time(broken: tuple[Nats, WorkerProcess], how: str, kind: str) -> None:
    server, process = broken
    job_id = submit(process)

    def floods(content: str, job: JobContext) -> Iterator[str]:
        server.pause()
        try:
            while True:
                yield "x" * 1000
        finally:
            server.resume()

    async def floods_async(content: str, job: JobContext) -> AsyncIterator[str]:
        for piece in floods(content, job):
            yield piece

    chosen = floods if kind == "plain" else floods_async
    if how == "main thread":
        execute(Job(chosen, "t", "t", time_limit=1), CLIENT, job_id, process)
    else:
        in_background(chosen, job_id, process, time_limit=1).join(30)
    assert read(process, job_id).last.payload == "❌ Job failed: it took longer than 1 s"
    assert len(text(pieces(process, job_id))) < 70_000
