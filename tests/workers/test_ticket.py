"""Tickets: what a task carries of its job, and what is not taken for one."""

import pytest

from bus.job_log import JobRequest, JobState
from bus.messages import JobQueued
from workers.ticket import LARGEST_CONTENT, Ticket


def a_job(content: str = "x", attempt: int = 0) -> JobState:
    request = JobRequest(task_type="Shout", job_type="shout", content=content, slot="2026-12-01T06:00:00Z")
    queued = JobQueued(payload="", job_id="j", ref="r")
    return JobState("client", "j", request, queued, seq=7, ref="r", attempt=attempt)


def test_it_tells_the_job_as_it_was() -> None:
    job = a_job(attempt=2)
    carried = Ticket.of(job)
    assert carried is not None
    ticket = Ticket.read(carried.model_dump())
    assert ticket == carried
    assert ticket.job("client", "j") == job


def test_a_long_content_is_not_carried() -> None:
    assert Ticket.of(a_job("x" * LARGEST_CONTENT)) is not None
    assert Ticket.of(a_job("x" * LARGEST_CONTENT + "x")) is None


@pytest.mark.parametrize(
    "carried",
    [
        None,
        7,
        "garbage",
        {},
        {"seq": 0, "attempt": 0, "ref": None, "request": {"task_type": "t", "job_type": "t", "content": "x"}},
        {"seq": "7", "attempt": 0, "ref": None, "request": {"task_type": "t", "job_type": "t", "content": "x"}},
        {"seq": 7, "attempt": 0, "ref": None, "request": {"task_type": "t"}},
    ],
)
def test_what_is_no_ticket_is_none(carried: object) -> None:
    assert Ticket.read(carried) is None
