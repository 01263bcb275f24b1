"""Jobs, as frames tell of them: they never step back, and of the ended ones so many are kept."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from busctl_client.conversation import Conversation
from busctl_client.errors import JobCancelled, JobFailed, JobLost, Refused, TooLarge, TooManyRequests
from busctl_client.job import Job
from busctl_client.limits import Limits
from busctl_client.listeners import Listeners
from busctl_client.session import Session
from busctl_client.tokens import Tokens


def conversation(**limits: int) -> Conversation:
    return Conversation(Session(), Tokens(None, 1), Listeners(), Limits(**limits), lambda: None)


def queued(talk: Conversation, key: str = "k", job_id: str = "j", **keys: Any) -> None:
    talk.heard(
        {"action": "job_queued", "payload": "", "job_id": job_id, "ref": key, "task_type": "t", "content": "c", **keys}
    )


def event(talk: Conversation, action: str, payload: Any = "", **keys: Any) -> None:
    talk.heard({"action": action, "payload": payload, "job_id": "j", "ref": "k", **keys})


def submitted(talk: Conversation) -> Job:
    job = talk.submit("t", "c", key="k")
    queued(talk)
    return job


def refuse(talk: Conversation, ref: str, *types: str) -> None:
    talk.heard({"action": "error", "ref": ref, "payload": [{"type": each, "loc": [], "msg": each} for each in types]})


def cut(talk: Conversation, *, client_id: str = "ann") -> None:
    """History was cut, or the client is another one."""
    session = {"resume": "r", "replayed": 0, "cursors": {}}
    talk.welcomed(session | {"client_id": "ann", "epoch": "one", "recovered": True})
    talk.welcomed(session | {"client_id": client_id, "epoch": "one", "recovered": False})


async def test_a_job_goes_through_its_states() -> None:
    talk = conversation()
    job = talk.submit("t", "c", key="k")
    states = [job.state]
    for step in ("queued", "started", "retrying", "started", "result"):
        event(talk, f"job_{step}", "the end", attempt=1 + (len(states) > 3), reason="no ink")
        states.append(job.state)
    assert states == ["sending", "queued", "started", "retrying", "started", "done"]
    assert (await job.result(), job.attempt, job.reasons) == ("the end", 2, {1: "no ink"})


async def test_it_never_steps_back() -> None:
    talk = conversation()
    job = submitted(talk)
    event(talk, "job_started", attempt=2)
    event(talk, "job_started", attempt=1)
    queued(talk)
    assert (job.state, job.attempt, job.reasons) == ("started", 2, {1: "its worker was lost"})
    event(talk, "job_result", "first", attempt=2)
    event(talk, "job_failed", attempt=2, reason="late")
    event(talk, "job_progress", 0.5)
    assert (job.state, job.value, job.error) == ("done", "first", None)


@pytest.mark.parametrize(
    ("action", "keys", "error"),
    [
        ("job_failed", {"reason": "no ink"}, JobFailed),
        ("job_cancelled", {"by": "an operator"}, JobCancelled),
    ],
)
async def test_waiting_for_one_that_ends_otherwise_raises(action: str, keys: Any, error: type[Exception]) -> None:
    talk = conversation()
    job = submitted(talk)
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    event(talk, action, **keys)
    with pytest.raises(error, match=next(iter(keys.values()))):
        await waiting


async def test_waiting_ends_at_its_deadline_and_the_job_goes_on() -> None:
    talk = conversation()
    job = submitted(talk)
    with pytest.raises(TimeoutError):
        await job.result(timeout=0.01)
    event(talk, "job_result", "there")
    assert await job.result() == "there"


async def test_whoever_gives_up_cancelling_answers_nobody_else() -> None:
    talk = conversation()
    job = submitted(talk)
    patient, hasty = asyncio.create_task(job.cancel()), asyncio.create_task(job.cancel())
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.wait([patient, hasty], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0)
    assert not patient.done()
    event(talk, "job_cancelled", by=None)
    assert await patient == "cancelled"


async def test_whoever_is_refused_a_cancel_is_told_alone() -> None:
    talk = conversation()
    job = submitted(talk)
    one, other = asyncio.create_task(job.cancel()), asyncio.create_task(job.cancel())
    async with asyncio.timeout(5):
        first, second = [(await talk.next_request())["ref"] for _ in range(2)]
    refuse(talk, first, "busy")
    with pytest.raises(Refused):
        await one
    event(talk, "job_result", "faster", ref=second)
    assert await other == "done"


async def test_one_that_is_not_accepted_for_now_can_be_sent_again() -> None:
    talk = conversation()
    job = talk.submit("t", "c", key="k")
    assert (await talk.next_request())["key"] == "k"
    refuse(talk, "k", "too_many_jobs")
    with pytest.raises(Refused) as refused:
        await job.result()
    assert refused.value.again
    assert job.state == "unsent"
    assert talk.submit("t", "c", key="k") is job
    assert (await talk.next_request())["key"] == "k"
    queued(talk)
    assert job.state == "queued"


async def test_one_that_is_refused_makes_room_for_another_of_the_same_key() -> None:
    talk = conversation()
    job = talk.submit("t", "c", key="k")
    refuse(talk, "k", "string_type")
    assert job.state == "refused"
    other = talk.submit("t", "d", key="k")
    assert other is not job
    queued(talk)
    assert (job.state, other.state) == ("refused", "queued")


async def test_a_key_that_another_program_used_is_its_job() -> None:
    """Which this client knows by its events, though they have another `ref`."""
    talk = conversation()
    queued(talk, key="theirs")
    event(talk, "job_started", attempt=1, ref="theirs")
    event(talk, "job_output", "Once ", attempt=1, index=0, ref="theirs")
    job = talk.submit("t", "c", key="ours")
    status = {"job_id": "j", "state": "job_started", "text": "", "attempt": 1, "attempts": [], "not_before": None}
    talk.heard({"action": "job_status", "payload": status, "ref": "ours"})
    assert (job.state, job.id, job.output.text) == ("started", "j", "Once ")
    event(talk, "job_result", "Once upon", attempt=1, ref="theirs")
    assert await job.result() == "Once upon"


def ended(talk: Conversation, state: str, **keys: Any) -> Job:
    """A job whose end is told by `job_status` alone, as when its key was used before."""
    job = talk.submit("t", "c", key="k")
    status = {"job_id": "j", "state": state, "text": "for people", "attempt": 1, "attempts": [], **keys}
    talk.heard({"action": "job_status", "payload": status, "ref": "k"})
    return job


@pytest.mark.parametrize("value", [{"n": 49}, [], "for programs", None, False])
async def test_a_status_tells_the_value_that_a_job_gave(value: Any) -> None:
    job = ended(conversation(), "job_result", result=value, reason=None, by=None)
    assert await job.result() == value
    assert job.output.text == (value if isinstance(value, str) else json.dumps(value, indent=2))


@pytest.mark.parametrize(
    ("state", "keys", "error", "said"),
    [
        ("job_failed", {"reason": "the disk is full", "by": None}, JobFailed, "the disk is full"),
        ("job_cancelled", {"reason": None, "by": "an operator"}, JobCancelled, "called off by an operator"),
        ("job_cancelled", {"reason": None, "by": None}, JobCancelled, "called off"),
    ],
)
async def test_a_status_tells_why_a_job_ended_otherwise(
    state: str, keys: Any, error: type[Exception], said: str
) -> None:
    job = ended(conversation(), state, result=None, **keys)
    with pytest.raises(error) as raised:
        await job.result()
    assert str(raised.value) == said


async def test_a_status_of_an_older_server_tells_the_text_alone() -> None:
    assert await ended(conversation(), "job_result").result() == "for people"
    with pytest.raises(JobFailed, match="for people"):
        await ended(conversation(), "job_failed").result()


async def test_when_history_is_cut_open_jobs_are_asked_about() -> None:
    talk = conversation()
    job, gone = submitted(talk), talk.submit("t", "c", key="gone")
    queued(talk, "gone", "g")
    cut(talk)
    asking = asyncio.create_task(talk.ask_doubtful())
    for _ in range(2):
        ref = (await talk.next_request())["ref"]
        if ref == "get g":
            refuse(talk, ref, "unknown_job")
        else:
            status = {"job_id": "j", "state": "job_result", "text": "done", "attempt": 1, "attempts": []}
            talk.heard({"action": "job_status", "payload": status, "ref": ref})
    await asking
    assert (job.state, job.value, gone.state) == ("done", "done", "interrupted")
    with pytest.raises(JobLost):
        await gone.result()
    event(talk, "job_result", "after all", job_id="g", ref="gone")
    assert await gone.result() == "after all"


async def test_a_stranger_does_not_submit_once_more_what_may_run_already() -> None:
    talk = conversation()
    accepted, sending = submitted(talk), talk.submit("t", "c", key="other")
    cut(talk, client_id="bob")
    for job in (accepted, sending):
        with pytest.raises(JobLost):
            await job.result()
    talk.connected()
    talk.submit("t", "c", key="new")
    assert (await talk.next_request())["ref"] == "new"


async def test_of_ended_jobs_the_latest_are_kept_and_open_ones_always() -> None:
    talk = conversation(ended_jobs=3)
    first = submitted(talk)
    for number in range(10):
        queued(talk, f"k{number}", f"j{number}")
        event(talk, "job_result", job_id=f"j{number}", ref=f"k{number}")
    assert [job.id for job in talk.jobs] == ["j9", "j8", "j7", "j"]
    assert talk.jobs.get("j") is first
    assert talk.jobs.get("k8") is talk.jobs.get("j8") is not None
    assert talk.jobs.get("j1") is None


async def test_one_for_later_is_scheduled() -> None:
    talk = conversation()
    job = talk.submit("t", "c", key="k", not_before=datetime.now(UTC) + timedelta(hours=1))
    queued(talk, not_before=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert job.state == "scheduled"
    assert job.not_before is not None
    event(talk, "job_started", attempt=1)
    assert job.state == "started"


async def test_what_cannot_be_a_frame_is_not_sent() -> None:
    talk = conversation(frame_bytes=1000)
    with pytest.raises(TooLarge, match="at most 1,000 are sent"):
        talk.submit("t", "x" * 2000)
    for content in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            talk.submit("t", content)
    for wrong in ("", "k" * 129, 5, b"key", ("key",)):
        with pytest.raises(ValueError, match="a text of 1 to 128 characters"):
            talk.submit("t", "c", key=wrong)  # type: ignore[arg-type]
    for arguments in ({"content": "\ud800"}, {"content": {"\udfff": 1}}, {"task_type": "\ud800"}, {"key": "\ud800"}):
        with pytest.raises(ValueError, match="lone surrogate"):
            talk.submit(**{"task_type": "t", "content": "c"} | arguments)
    with pytest.raises(ValueError, match="time zone"):
        talk.submit("t", "c", not_before=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="has to be a datetime"):
        talk.submit("t", "c", not_before="tomorrow")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not both"):
        talk.submit("t", "c", not_before=datetime.now(UTC), delay=1)
    assert len(talk.jobs) == 0


async def test_so_many_requests_wait_and_no_more() -> None:
    talk = conversation(requests=3)
    for _ in range(3):
        talk.submit("t", "c")
    with pytest.raises(TooManyRequests, match="3 requests wait"):
        talk.submit("t", "c")
    assert len(talk.jobs) == 3


async def test_a_frame_that_cannot_be_understood_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    talk = conversation()
    job = submitted(talk)
    for frame in (
        {"action": "job_result"},
        {"action": "job_output", "job_id": "j", "payload": 5},
        {"action": "error", "payload": 3},
    ):
        talk.heard(frame)
    event(talk, "job_result", "fine")
    assert await job.result() == "fine"
    assert caplog.text.count("could not be understood") == 3


async def test_changes_are_told_and_those_that_were_missed_are_not_kept() -> None:
    talk = conversation()
    job = submitted(talk)
    seen = []

    async def watch() -> None:
        async for each in job.changes():
            seen.append((each.state, each.progress))

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    event(talk, "job_started", attempt=1)
    event(talk, "job_progress", 0.25, attempt=1)
    event(talk, "job_progress", 0.5, attempt=1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event(talk, "job_result", "there", attempt=1)
    await watching
    assert seen == [("queued", None), ("started", 0.5), ("done", 0.5)]
