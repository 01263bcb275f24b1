"""A job's life: one create, any attempts, one end; enforced by NATS."""

import asyncio
import json
import secrets
from datetime import UTC, datetime

import pytest

from bus import AppendRefused, Bus, Settings, UnknownJob, job_log, subjects
from bus.attempts import attempts
from bus.job_log import JobRequest, JobState, new_job_id
from bus.messages import JobStarted

REQUEST = JobRequest(task_type="shout", job_type="default", content="hi")


async def queued(bus: Bus, client_id: str = "log") -> JobState:
    return await job_log.create(bus.stream, client_id, REQUEST, job_id=new_job_id(), ref="r")


async def test_the_state_is_the_last_event(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await queued(bus)
        assert await job_log.read(bus.stream, "log", job.job_id) == job
        started = await job_log.start(bus.stream, job)
        again = await job_log.read(bus.stream, "log", job.job_id)
        assert (again.attempt, again.ended, again.request, again.ref) == (1, False, REQUEST, "r")
        await job_log.finish(bus.stream, started, "HI")
        ended = await job_log.read(bus.stream, "log", job.job_id)
        assert ended.ended
        assert ended.last.payload == "HI"


async def test_one_of_many_workers_gets_the_job(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await queued(bus)
        claims = await asyncio.gather(*(job_log.start(bus.stream, job) for _ in range(10)), return_exceptions=True)
        assert sum(isinstance(claim, JobState) for claim in claims) == 1
        assert sum(isinstance(claim, AppendRefused) for claim in claims) == 9


async def test_a_second_end_is_refused_whatever_it_says(settings: Settings) -> None:
    async with Bus(settings) as bus:
        started = await job_log.start(bus.stream, await queued(bus))
        await job_log.finish(bus.stream, started, "HI")
        with pytest.raises(AppendRefused):
            await job_log.finish(bus.stream, started, "HI")
        with pytest.raises(AppendRefused):
            await job_log.fail(bus.stream, started, "late")


async def test_the_late_word_of_a_worker_thought_dead_is_refused(settings: Settings) -> None:
    async with Bus(settings) as bus:
        first = await job_log.start(bus.stream, await queued(bus))
        second = await job_log.start(bus.stream, first)
        assert second.attempt == 2
        with pytest.raises(AppendRefused):
            await job_log.finish(bus.stream, first, "late")
        await job_log.finish(bus.stream, second, "in time")


async def test_a_claim_that_is_repeated_is_the_same_unless_the_job_has_moved_on(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await queued(bus)
        claim = {"instance": "i", "message_id": secrets.token_hex(12)}
        started = await job_log.start(bus.stream, job, **claim)
        assert await job_log.start(bus.stream, job, **claim) == started
        await job_log.carry(bus.stream, "log", job.job_id)
        assert await job_log.start(bus.stream, job, **claim) == started
        lost = await job_log.requeue(bus.stream, started)
        with pytest.raises(AppendRefused):
            await job_log.start(bus.stream, job, **claim)
        await job_log.start(bus.stream, lost)
        with pytest.raises(AppendRefused):
            await job_log.start(bus.stream, job, **claim)


async def test_one_id_is_one_job(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await queued(bus)
        with pytest.raises(AppendRefused):
            await job_log.create(bus.stream, "log", REQUEST, job_id=job.job_id)


async def test_an_unknown_job_is_said_to_be_unknown(settings: Settings) -> None:
    async with Bus(settings) as bus:
        with pytest.raises(UnknownJob, match="past retention"):
            await job_log.read(bus.stream, "log", "nothing")


async def test_garbage_after_an_end_that_is_cut_does_not_let_the_job_go_on(settings: Settings) -> None:
    async with Bus(settings) as bus:
        queued = await job_log.create(bus.stream, "log", REQUEST, job_id=new_job_id())
        subject = subjects.job("log", queued.job_id)
        await job_log.cancel(bus.stream, "log", queued.job_id)
        garbage = await bus.stream.append(subject, b"garbage")
        await bus.stream._purge({"filter": subject, "seq": garbage})  # as retention does, of this job alone
        with pytest.raises(AppendRefused):
            await job_log.start(bus.stream, queued)


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b'{"action":"job_result"}', b'{"action":["x"]}', b"null"])
async def test_garbage_on_a_jobs_subject_is_passed_over(settings: Settings, garbage: bytes) -> None:
    async with Bus(settings) as bus:
        started = await job_log.start(bus.stream, await queued(bus))
        await bus.stream.append(subjects.job("log", started.job_id), garbage)
        assert (await job_log.read(bus.stream, "log", started.job_id)).started
        await job_log.finish(bus.stream, started, "done")
        assert (await job_log.read(bus.stream, "log", started.job_id)).ended


async def test_the_request_is_stored_but_is_no_part_of_the_frame(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await queued(bus)
        stored = await bus.stream.last(subjects.job("log", job.job_id))
        assert stored is not None
        assert b'"request"' in stored.data


async def test_which_process_runs_a_job_is_stored_but_is_no_part_of_the_frame(settings: Settings) -> None:
    async with Bus(settings) as bus:
        started = await job_log.start(bus.stream, await queued(bus), instance="child-1")
        assert (await job_log.read(bus.stream, "log", started.job_id)).instance == "child-1"
        stored = await bus.stream.last(subjects.job("log", started.job_id))
        assert stored is not None
        assert "instance" not in JobStarted.model_validate_json(stored.data).encode()
        cancelled = await job_log.cancel(bus.stream, "log", started.job_id)
        assert cancelled.instance == "child-1"  # who has to be told


async def test_a_job_that_was_started_by_an_older_worker_can_be_read(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await queued(bus)
        older = b'{"action":"job_started","payload":"","job_id":"%s","attempt":1}' % job.job_id.encode()
        await bus.stream.append(subjects.job("log", job.job_id), older)
        read = await job_log.read(bus.stream, "log", job.job_id)
        assert (read.started, read.attempt, read.instance) == (True, 1, None)


async def test_what_older_versions_stored_is_read_as_it_was_meant(settings: Settings) -> None:
    older = [
        {
            "action": "job_queued",
            "payload": "⏳ Job queued: shout for 'hi' (ID: old)",
            "job_id": "old",
            "request": {"task_type": "shout", "job_type": "default", "content": "hi"},
        },
        {"action": "job_started", "payload": "▶ Job started: shout (attempt 1)", "attempt": 1, "instance": "child-1"},
        {"action": "job_requeued", "payload": "↻ Job enqueued again: shout", "attempt": 1, "times": 2},
        {"action": "job_failed", "payload": "❌ Job failed: no"},
    ]
    seen = []
    async with Bus(settings) as bus:
        for event in older:
            await bus.stream.append(subjects.job("older", "old"), json.dumps(event).encode())
            state = await job_log.read(bus.stream, "older", "old")
            assert state.request.content == "hi"
            seen.append((state.state, state.attempt, state.instance, state.requeued, state.ended))
    assert seen == [
        ("job_queued", 0, None, 0, False),
        ("job_started", 1, "child-1", 0, False),
        ("job_retrying", 1, None, 2, False),
        ("job_failed", 0, None, 0, True),
    ]


async def test_what_the_texts_say_is_in_keys_of_their_own(settings: Settings) -> None:
    async with Bus(settings) as bus:
        failed = await job_log.fail(bus.stream, await job_log.start(bus.stream, await queued(bus)), "no ink")
        called_off = await job_log.cancel(bus.stream, "log", (await queued(bus)).job_id, by="an operator")
        for state in (failed, called_off):
            assert await job_log.read(bus.stream, "log", state.job_id) == state
    assert [json.loads(state.last.encode()) for state in (failed, called_off)] == [
        {
            "action": "job_failed",
            "payload": "❌ Job failed: no ink",
            "job_id": failed.job_id,
            "ref": "r",
            "task_type": "shout",
            "attempt": 1,
            "reason": "no ink",
        },
        {
            "action": "job_cancelled",
            "payload": "🚫 Job cancelled by an operator",
            "job_id": called_off.job_id,
            "ref": "r",
            "task_type": "shout",
            "by": "an operator",
        },
    ]


async def test_the_steps_of_many_jobs_are_walked_past_what_others_wrote(settings: Settings) -> None:
    async with Bus(settings) as bus:
        first, second = await queued(bus, "walk"), await queued(bus, "walk")
        foreign = await bus.stream.append(subjects.job("walk", first.job_id), b"garbage")
        await bus.stream.append(subjects.client_event("walk"), b"{}")
        await job_log.start(bus.stream, second, instance="child-1")
        passed_over = []
        walked = [
            step
            async for step in job_log.steps(
                bus.stream, "bus.client.walk.job.*", on_foreign=lambda stored, _: passed_over.append(stored.seq)
            )
        ]
    assert [(step.job_id, step.event.action, step.request, step.instance) for step in walked] == [
        (first.job_id, "job_queued", REQUEST, None),
        (second.job_id, "job_queued", REQUEST, None),
        (second.job_id, "job_started", None, "child-1"),
    ]
    assert passed_over == [foreign]


async def test_a_job_can_be_cancelled_queued_or_running_and_not_twice(settings: Settings) -> None:
    async with Bus(settings) as bus:
        for job in (await queued(bus), await job_log.start(bus.stream, await queued(bus))):
            cancelled = await job_log.cancel(bus.stream, "log", job.job_id)
            assert cancelled.state == "job_cancelled"
            assert (await job_log.cancel(bus.stream, "log", job.job_id)).seq == cancelled.seq
            with pytest.raises(AppendRefused):
                await job_log.finish(bus.stream, job, "late")


async def test_a_cancel_does_not_change_an_end(settings: Settings) -> None:
    async with Bus(settings) as bus:
        done = await job_log.finish(bus.stream, await job_log.start(bus.stream, await queued(bus)), "HI")
        assert (await job_log.cancel(bus.stream, "log", done.job_id)).state == "job_result"


async def test_one_of_many_reconcilers_enqueues_again_and_the_attempts_are_kept(settings: Settings) -> None:
    async with Bus(settings) as bus:
        job = await job_log.start(bus.stream, await queued(bus))
        tries = await asyncio.gather(*(job_log.requeue(bus.stream, job) for _ in range(5)), return_exceptions=True)
        (requeued,) = [state for state in tries if isinstance(state, JobState)]
        assert (requeued.attempt, requeued.held, requeued.state) == (1, False, "job_retrying")
        again = await job_log.read(bus.stream, "log", job.job_id)
        assert (again.attempt, again.seq) == (1, requeued.seq)
        assert (await job_log.start(bus.stream, again)).attempt == 2


async def test_a_worker_that_waits_to_try_again_holds_the_job_until_it_is_lost(settings: Settings) -> None:
    next_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    async with Bus(settings) as bus:
        started = await job_log.start(bus.stream, await queued(bus), instance="child-1")
        waiting = await job_log.retry(bus.stream, started, "no ink", next_at=next_at)
        assert await job_log.read(bus.stream, "log", started.job_id) == waiting
        assert (waiting.state, waiting.started, waiting.held, waiting.instance) == (
            "job_retrying",
            False,
            True,
            "child-1",
        )
        assert json.loads(waiting.last.encode()) == {
            "action": "job_retrying",
            "payload": "↻ Job will be tried again: no ink",
            "job_id": started.job_id,
            "ref": "r",
            "task_type": "shout",
            "attempt": 1,
            "reason": "no ink",
            "next_at": "2026-01-02T03:04:05.000000Z",
        }
        lost = await job_log.requeue(bus.stream, waiting)
        assert (lost.last.payload, lost.held) == ("↻ Job will be tried again: its worker was lost", False)
        assert (lost.requeued, (await job_log.requeue(bus.stream, lost)).requeued) == (1, 2)
        assert (await job_log.cancel(bus.stream, "log", waiting.job_id)).state == "job_cancelled"


async def test_the_loss_of_a_task_changes_nothing_that_clients_see(settings: Settings) -> None:
    async with Bus(settings) as bus:
        requeued = await job_log.requeue(bus.stream, await queued(bus))
        assert (requeued.last.action, requeued.state, requeued.requeued) == ("job_requeued", "job_queued", 1)


async def test_each_attempt_is_told_with_why_it_brought_no_result(settings: Settings) -> None:
    async with Bus(settings) as bus:
        state = await job_log.start(bus.stream, await queued(bus), instance="a")
        state = await job_log.retry(bus.stream, state, "no ink", next_at=datetime.now(UTC))
        state = await job_log.requeue(bus.stream, state)  # lost while it waited
        state = await job_log.requeue(bus.stream, state)  # and the task too
        state = await job_log.start(bus.stream, state, instance="b")
        state = await job_log.start(bus.stream, state, instance="c")  # taken over at once, as when a child dies
        await job_log.fail(bus.stream, state, "no paper")
        steps = [step async for step in job_log.steps(bus.stream, subjects.job("log", state.job_id))]
    told = attempts(steps)
    assert [(attempt.number, attempt.reason) for attempt in told] == [
        (1, "no ink"),
        (2, "its worker was lost"),
        (3, "no paper"),
    ]
    assert [attempt.started_at for attempt in told] == sorted(
        step.stored.at or "" for step in steps if step.instance and step.event.running
    )
    assert [attempt.reason for attempt in attempts(steps[:2])] == [None]


async def test_a_request_that_runs_another_type_or_is_a_retry_or_of_a_slot_says_so_once(settings: Settings) -> None:
    async with Bus(settings) as bus:
        plain = await job_log.create(
            bus.stream, "log", REQUEST.model_copy(update={"job_type": "shout"}), job_id=new_job_id()
        )
        again = await job_log.create(
            bus.stream, "log", REQUEST.model_copy(update={"retry_of": plain.job_id}), job_id=new_job_id()
        )
        slot = {"slot": "2026-12-01T06:00:00.000000Z"}
        of_slot = await job_log.create(bus.stream, "log", REQUEST.model_copy(update=slot), job_id=new_job_id())
        assert of_slot.request.slot_time == datetime(2026, 12, 1, 6, tzinfo=UTC)
        retried = {"runs": "default", "retry_of": plain.job_id}
        for job, expected in ((plain, {}), (again, retried), (of_slot, {"runs": "default"} | slot)):
            frame = json.loads(job.last.encode())
            assert {key: frame.get(key) for key in expected} == expected
            assert {"runs", "retry_of", "slot"} & set(frame) == set(expected)
            assert await job_log.read(bus.stream, "log", job.job_id) == job
            stored = await bus.stream.last(subjects.job("log", job.job_id))
            assert stored is not None
            assert not {"runs", "retry_of", "slot"} & set(json.loads(stored.data))


def test_a_key_stands_for_one_job_of_one_client() -> None:
    assert job_log.job_id_of_key("c1", "k") == job_log.job_id_of_key("c1", "k")
    assert len({job_log.job_id_of_key(*pair) for pair in (("c1", "k"), ("c2", "k"), ("c1", "k2"), ("c", "1k"))}) == 4
