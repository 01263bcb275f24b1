"""The event parser: what is not an event is dropped and counted, what is only another program's is let be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from bus import Bus, Event, Settings, Stored, SystemNotification
from bus.messages import JobOutput, JobProgress, JobResult, Ping
from quart_app.delivery.event_parser import EventParser
from tests.quart_app.failing_event import FailingEvent

GROUP = "bus.group.system"
JOB = "bus.client.ann.job.j1"


class EndlessResult(JobResult):
    """It fails at saying whether it is an end."""

    action: Literal["endless_result"] = "endless_result"  # type: ignore[assignment]

    @property
    def ended(self) -> bool:  # type: ignore[override]
        raise AttributeError("ended")


EVENTS = {
    "system_notification": SystemNotification,
    "job_result": JobResult,
    "job_progress": JobProgress,
    "job_output": JobOutput,
    "ping": Ping,
    "failing": FailingEvent,
    "endless_result": EndlessResult,
}


class Parser(EventParser):
    """A parser, and how often it dropped something."""

    def __init__(self) -> None:
        bus = Bus(Settings.load())  # never connected
        super().__init__(bus, EVENTS)
        self.dropped = 0
        bus.on_drop = self._count

    def event(self, stored: Stored) -> Event | None:
        one = self.parse(stored)
        return one.event if one is not None else None

    def _count(self) -> None:
        self.dropped += 1


def stored(subject: str, seq: int = 7, **fields: object) -> Stored:
    return Stored(seq, subject, json.dumps(fields).encode())


async def test_an_event_knows_its_sequence_and_its_group() -> None:
    event = Parser().event(stored(GROUP, action="system_notification", payload="hi"))
    assert isinstance(event, SystemNotification)
    assert (event.payload, event.seq, event.group) == ("hi", 7, "system")


async def test_the_subject_says_whose_job_it_is_and_not_the_message() -> None:
    event = Parser().event(stored(JOB, action="job_result", payload="done", job_id="another", group="system"))
    assert isinstance(event, JobResult)
    assert (event.job_id, event.group) == ("j1", None)


async def test_progress_is_not_stored_and_has_no_sequence() -> None:
    event = Parser().event(stored("progress.client.ann.j1", 0, action="job_progress", payload=0.5))
    assert isinstance(event, JobProgress)
    assert (event.job_id, event.seq) == ("j1", None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"not json",
        b"null",
        b"[]",
        b"5",
        b"{}",
        b"[" * 100_000,
        b'{"action":["system_notification"]}',
        b'{"action":"system_notification"}',
        b'{"action":"system_notification","payload":5}',
        b'{"action":"system_notification","payload":"\\ud800"}',
        b'{"action":"system_notification","payload":NaN}',
        b'{"action":"system_notification","payload":"hi","level":"loud"}',
        b'{"action":"system_notification","payload":"hi","level":3}',
        b'{"action":"system_notification","payload":"hi","level":["critical"]}',
        b'{"action":"system_notification","payload":"hi","expires_at":"tomorrow"}',
        b'{"action":"system_notification","payload":"hi","expires_at":"2026-12-01T06:00:00"}',
        b'{"action":"system_notification","payload":"hi","expires_at":1800000000}',
    ],
)
async def test_what_is_no_event_is_dropped_and_counted(data: bytes) -> None:
    parser = Parser()
    assert parser.parse(Stored(7, GROUP, data)) is None
    assert parser.dropped == 1


@pytest.mark.parametrize(
    "failing",
    [
        stored(GROUP, action="failing", payload="validated"),
        stored(GROUP, action="failing", payload="expired"),
        stored(GROUP, action="failing", payload="encoded"),
        stored(JOB, action="endless_result", payload="done"),
    ],
    ids=["validated", "expired", "encoded", "ended"],
)
async def test_an_event_that_its_own_class_fails_at_is_dropped_and_counted(failing: Stored) -> None:
    parser = Parser()
    assert parser.parse(failing) is None
    assert parser.dropped == 1


@pytest.mark.parametrize(
    ("subject", "fields"),
    [
        (GROUP, {"action": "job_result", "payload": "a job's event in a group"}),
        (JOB, {"action": "system_notification", "payload": "an announcement in a job"}),
        (JOB, {"action": "job_progress", "payload": 0.5}),
        ("progress.client.ann.j1", {"action": "job_result", "payload": "stored by nobody"}),
        (JOB, {"action": "job_output", "payload": "among the steps", "attempt": 1, "index": 0}),
        (f"{JOB}.output", {"action": "job_result", "payload": "a step among the output"}),
        ("bus.client.ann.elsewhere", {"action": "system_notification", "payload": "no subject of ours"}),
    ],
)
async def test_an_event_where_it_does_not_belong_is_dropped_and_counted(
    subject: str, fields: dict[str, object]
) -> None:
    parser = Parser()
    assert parser.parse(stored(subject, **fields)) is None
    assert parser.dropped == 1


@pytest.mark.parametrize("action", ["of_a_newer_server", "ping"])
async def test_what_others_understand_is_let_be(action: str) -> None:
    parser = Parser()
    assert parser.parse(stored(GROUP, action=action, payload="x")) is None
    assert parser.dropped == 0


async def test_an_announcement_is_shown_until_it_expires_and_then_let_be() -> None:
    parser, time = Parser(), datetime(2026, 12, 1, 6, tzinfo=UTC)
    said = stored(GROUP, action="system_notification", payload="hi", expires_at="2026-12-01T06:00:00Z")
    assert parser.parse(said, now=time - timedelta(seconds=1)) is not None
    assert parser.parse(said, now=time) is None
    assert parser.dropped == 0


async def test_whether_it_has_expired_is_asked_of_the_clock() -> None:
    parser, now = Parser(), datetime.now(UTC)
    texts = [(now + timedelta(hours=hours)).isoformat() for hours in (-1, 1)]
    said = [stored(GROUP, action="system_notification", payload="hi", expires_at=text) for text in texts]
    assert [parser.parse(event) is not None for event in said] == [False, True]
