"""Submit and cancel: whoever asked is told what was stored, whatever goes away meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, nullcontext, suppress
from pathlib import Path

import pytest

from bus import Bus, BusUnavailable, CorruptJob, Settings, StreamFull, SyncBus, UnknownJob, job_log, space
from bus.job_log import JobRequest, JobState
from bus.messages import TaskPayload
from bus.stream import EventStream
from cli.cancel import cancel as busctl_cancel
from quart_app.app import create_app
from testbed.servers import Nats
from tests.clients import client
from tests.in_process import serving
from workers import submission
from workers.enqueue import Enqueuer
from workers.errors import BacklogFull
from workers.registry import discover

NO_REDIS = "redis://127.0.0.1:1/0"
TASK = TaskPayload(task_type="no-such-type", content="hi")
REQUEST = JobRequest(task_type="default", job_type="default", content="hi")


async def _nowhere(job: JobState) -> None:
    pass


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Nats]:
    """A server that the test may stop."""
    server = Nats(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def nats_dies_once_a_cancel_is_stored(own_nats: Nats, monkeypatch: pytest.MonkeyPatch) -> Nats:
    """Between the stored cancel and the word to the process that runs the job."""
    stored_cancel = job_log.cancel

    async def cancel_then_die(stream: object, client_id: str, job_id: str, **options: str) -> JobState:
        cancelled = await stored_cancel(stream, client_id, job_id, **options)  # type: ignore[arg-type]
        own_nats.kill()
        async with asyncio.timeout(15):
            while stream._connection.is_connected:  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        return cancelled

    monkeypatch.setattr(job_log, "cancel", cancel_then_die)
    return own_nats


async def running_job(bus: Bus, client_id: str = "ann") -> JobState:
    job = await job_log.create(bus.stream, client_id, REQUEST, job_id=job_log.new_job_id())
    return await job_log.start(bus.stream, job, instance="child-1")


async def test_a_key_stands_for_one_job_and_the_type_that_runs_is_stored(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job_id = submission.new_job_id("keys", "order-17")
        first, again = [
            await submission.submit(
                bus, discover(), TASK, client_id="keys", job_id=job_id, queue=nullcontext(_nowhere), ref=ref
            )
            for ref in ("first", "again")
        ]
    assert (first.accepted, again.accepted) == (True, False)
    assert again.job == first.job
    assert (first.job.request.job_type, first.job.ref) == ("default", "first")


async def test_a_key_stands_for_its_job_as_long_as_the_end_is_stored(own_nats: Nats) -> None:
    async with Bus(Settings.load(nats_url=own_nats.url)) as bus:
        job_id = submission.new_job_id("keys", "order-17")
        ids = {"client_id": "keys", "job_id": job_id}
        first = await submission.submit(bus, discover(), TASK, queue=nullcontext(_nowhere), **ids)
        ended = await job_log.finish(bus.stream, await job_log.start(bus.stream, first.job), "HI")
        await bus.stream.cut(ended.seq)
        again = await submission.submit(bus, discover(), TASK, queue=nullcontext(_nowhere), **ids)
        assert (again.accepted, again.job.state, again.job.last.payload) == (False, "job_result", "HI")
        with pytest.raises(CorruptJob, match="past retention"):  # nobody knows what it was
            await submission.retry(bus, discover(), job_id, client_id="keys", job_id="new", queue=nullcontext(_nowhere))


async def test_a_key_whose_job_is_cut_while_it_is_asked_for_is_free_again(
    own_nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = job_log.read

    async def read_what_is_cut(stream: EventStream, client_id: str, job_id: str) -> JobState:
        await stream.cut(before=(await stream.state()).last_seq + 1)
        return await read(stream, client_id, job_id)

    async with Bus(Settings.load(nats_url=own_nats.url)) as bus:
        ids = {"client_id": "keys", "job_id": submission.new_job_id("keys", "order-17")}
        first = await submission.submit(bus, discover(), TASK, queue=nullcontext(_nowhere), **ids)
        await job_log.finish(bus.stream, await job_log.start(bus.stream, first.job), "HI")
        monkeypatch.setattr(job_log, "read", read_what_is_cut)
        again = await submission.submit(bus, discover(), TASK, queue=nullcontext(_nowhere), **ids)
        assert (again.accepted, again.job.state, again.job.seq) == (True, "job_queued", first.job.seq + 3)


async def test_of_many_submits_at_once_those_without_a_place_are_refused_and_not_stored(settings: Settings) -> None:
    settings = settings.model_copy(update={"redis_url": NO_REDIS, "enqueue_backlog": 3, "enqueue_timeout": 0.5})
    async with Bus(settings) as bus, Enqueuer(settings) as enqueuer:
        ids = [submission.new_job_id("crowd") for _ in range(10)]
        outcomes = await asyncio.gather(
            *(
                submission.submit(bus, discover(), TASK, client_id="crowd", job_id=job_id, queue=enqueuer.place())
                for job_id in ids
            ),
            return_exceptions=True,
        )
        for job_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, submission.Submission):
                assert (await job_log.read(bus.stream, "crowd", job_id)).state == "job_queued"
            else:
                assert isinstance(outcome, BacklogFull)
                with pytest.raises(UnknownJob):
                    await job_log.read(bus.stream, "crowd", job_id)
    assert 3 <= sum(isinstance(outcome, submission.Submission) for outcome in outcomes) < 10


async def test_of_many_browsers_at_once_each_is_told_whether_its_job_is_accepted(settings: Settings) -> None:
    settings = settings.model_copy(update={"redis_url": NO_REDIS, "enqueue_backlog": 1, "enqueue_timeout": 0.5})
    async with serving(create_app(settings), wired=False, settings=settings) as port, AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{port}/ws/system"
        browsers = [await stack.enter_async_context(client(url)) for _ in range(8)]
        await asyncio.gather(*(browser.submit("default", "hi") for browser in browsers))
        answers = [await browser.receive() for browser in browsers]
    told = Counter(answer["payload"][0]["type"] if answer["action"] == "error" else "stored" for answer in answers)
    assert set(told) == {"stored", "busy"}


async def test_a_place_that_was_not_used_is_free_again(settings: Settings) -> None:
    settings = settings.model_copy(update={"redis_url": NO_REDIS, "enqueue_backlog": 1})
    enqueuer = Enqueuer(settings)
    with pytest.raises(KeyError), enqueuer.place():
        raise KeyError
    with enqueuer.place():
        with pytest.raises(BacklogFull), enqueuer.place():
            pass
        with pytest.raises(BacklogFull):
            enqueuer.put(JobState("ann", "j", REQUEST, None, 1, None))  # type: ignore[arg-type]


async def test_whoever_submits_to_a_silent_nats_is_told_that_the_job_may_be_accepted(
    own_nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load(nats_url=own_nats.url, append_timeout=0.5)
    monkeypatch.setattr(space, "KNOWN_FOR", 60)  # so that the append is what is not answered
    async with Bus(settings) as bus:
        await bus.stream.require_space(0)
        own_nats.pause()
        try:
            with pytest.raises(BusUnavailable, match=r"did not answer.*job j may have been accepted") as caught:
                await submission.submit(bus, discover(), TASK, client_id="ann", job_id="j", queue=nullcontext(_nowhere))
        finally:
            own_nats.resume()
    assert caught.value.maybe_done


async def test_a_job_that_has_ended_is_not_cancelled(settings: Settings) -> None:
    async with Bus(settings) as bus:
        done = await job_log.finish(bus.stream, await running_job(bus), "HI")
        outcome = await submission.cancel(bus, "ann", done.job_id)
    assert (outcome.cancelled, outcome.job.state) == (False, "job_result")


async def test_a_browser_is_told_of_a_cancel_that_was_stored_while_nats_went_away(
    nats_dies_once_a_cancel_is_stored: Nats,
) -> None:
    server = nats_dies_once_a_cancel_is_stored
    settings = Settings.load(nats_url=server.url, redis_url=NO_REDIS, enqueue_timeout=0.5)
    async with (
        serving(create_app(settings), wired=False, settings=settings) as port,
        client(f"ws://127.0.0.1:{port}/ws/system") as browser,
    ):
        await browser.submit("default", "hi")
        job_id = (await browser.receive())["job_id"]
        async with Bus(settings) as worker:
            client_id = [
                step.client_id async for step in job_log.steps(worker.stream, f"bus.client.*.job.{job_id}")
            ].pop()
            job = await job_log.read(worker.stream, client_id, job_id)
            await job_log.start(worker.stream, job, instance="child-1")
        await browser.send({"action": "cancel_job", "payload": {"job_id": job_id}})
        await browser.send({"action": "ping"})
        frames = await browser.receive_until("pong", 30)
        if len(frames) == 1:
            server.start()
            frames += await browser.receive_until("job_cancelled", 30)
    assert {frame["action"] for frame in frames} == {"pong", "job_cancelled"}


def test_busctl_tells_of_a_cancel_that_was_stored_while_nats_went_away(
    nats_dies_once_a_cancel_is_stored: Nats, capsys: pytest.CaptureFixture[str]
) -> None:
    server = nats_dies_once_a_cancel_is_stored
    with SyncBus(Settings.load(nats_url=server.url)) as bus:
        job = bus.call(running_job)
        busctl_cancel(job.job_id, server=server.url)
    told = capsys.readouterr()
    assert told.out == f"Job {job.job_id} cancelled.\n"
    assert "its worker could not be told, because NATS went away" in told.err


async def test_a_submit_to_a_stream_full_of_open_jobs_is_refused(own_nats: Nats) -> None:
    settings = Settings.load(nats_url=own_nats.url, redis_url=NO_REDIS, stream_max_bytes=2**20)
    large = JobRequest(task_type="shout", job_type="default", content="x" * 10_000)
    async with serving(create_app(settings), wired=False, settings=settings) as port, Bus(settings) as bus:
        with suppress(StreamFull):
            for _ in range(100):
                await job_log.create(bus.stream, "ann", large, job_id=job_log.new_job_id())
        async with client(f"ws://127.0.0.1:{port}/ws/system") as browser:
            await browser.submit("default", "x" * 10_000)
            answer = await browser.receive()
            await browser.ping()
    assert answer["action"] == "error"
    [item] = answer["payload"]
    assert item["type"] == "stream_full"
    assert "no room for another job" in item["msg"]
