"""When a job begins: what --in and --at take, and how it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import typer

from bus.job_log import JobRequest, JobState
from bus.messages import JobQueued, JobStarted
from cli.events import standing, text
from cli.when import about, ahead, begins, local, until

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def state(not_before: str | None, last: JobQueued | JobStarted) -> JobState:
    request = JobRequest(task_type="default", job_type="default", content="hi", not_before=not_before)
    return JobState("ann", "one", request, last, 1, None)


@pytest.mark.parametrize(
    ("after", "at", "expected"),
    [
        (None, None, None),
        ("10m", None, NOW + timedelta(minutes=10)),
        ("1d2h", None, NOW + timedelta(hours=26)),
        ("366d", None, NOW + timedelta(days=366)),
        (None, "2026-12-01T06:00Z", datetime(2026, 12, 1, 6, tzinfo=UTC)),
        (None, "2026-12-01T06:00:00+01:00", datetime(2026, 12, 1, 5, tzinfo=UTC)),
    ],
)
def test_a_job_begins_when_it_is_asked_for(after: str | None, at: str | None, expected: datetime | None) -> None:
    assert begins(after, at, NOW) == expected


@pytest.mark.parametrize(
    ("after", "at", "told"),
    [
        ("10m", "2026-12-01T06:00Z", "--in does not go with --at"),
        ("", None, "--in '' is no duration, such as 90s"),
        ("ten minutes", None, "--in 'ten minutes' is no duration, such as 90s"),
        ("0s", None, "--in '0s' is not ahead; to run it at once, leave that out"),
        ("-10m", None, "--in '-10m' is not ahead; to run it at once, leave that out"),
        ("367d", None, "--in '367d' is too far ahead: a job may begin 366 days from now at the latest"),
        ("999999999d", None, "is too far ahead"),
        (None, "", "--at '' is no time with a time zone, such as 2026-12-01T06:00:00Z"),
        (None, "tomorrow", "--at 'tomorrow' is no time with a time zone, such as 2026-12-01T06:00:00Z"),
        (None, "2026-13-01T06:00Z", "is no time with a time zone"),
        (None, "9999-12-31T23:59-01:00", "is no time with a time zone"),
        (None, "2026-11-30T12:00Z", "--at '2026-11-30T12:00Z' has passed; to run it at once, leave that out"),
        (None, "2027-12-02T12:00Z", "is too far ahead: a job may begin 366 days from now at the latest"),
        (
            None,
            "2026-12-01T06:00",
            "--at '2026-12-01T06:00' names no time zone; for the time of this machine write 2026-12-01T06:00+01:00, "
            "for UTC 2026-12-01T06:00Z",
        ),
        (None, "2026-12-01 06:00:30", "write 2026-12-01T06:00:30+01:00, for UTC 2026-12-01T06:00:30Z"),
        (None, "2026-12-01", "write 2026-12-01T00:00+01:00, for UTC 2026-12-01T00:00Z"),
        (None, "0001-01-01T00:00", "is no time with a time zone"),
    ],
)
def test_what_it_cannot_be_is_refused_with_what_to_write(after: str | None, at: str | None, told: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        begins(after, at, NOW)
    assert told in str(refused.value)


def test_where_the_machine_has_utc_one_way_to_write_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    with pytest.raises(typer.BadParameter, match=r"names no time zone; write 2026-12-01T06:00Z$"):
        begins(None, "2026-12-01T06:00", NOW)


@pytest.mark.parametrize(
    ("seconds", "told", "roughly"),
    [
        (-5, "0 s", "0 s"),
        (0.2, "0 s", "0 s"),
        (9.6, "10 s", "10 s"),
        (599.9, "10 min", "10 min"),
        (598, "9 min 58 s", "10 min"),
        (3605, "1 h", "60 min"),
        (7199, "1 h 59 min", "120 min"),
        (90_061, "1 d 1 h", "25 h"),
        (366 * 86_400, "366 d", "366 d"),
    ],
)
def test_how_long_it_is_until_then_is_told_in_two_units_or_one(seconds: float, told: str, roughly: str) -> None:
    assert until(NOW + timedelta(seconds=seconds), NOW) == told
    assert about(NOW + timedelta(seconds=seconds), NOW) == roughly


def test_a_time_is_told_as_this_machine_has_it() -> None:
    assert local(NOW) == "2026-11-30 13:00:00 CET"
    assert ahead(NOW, NOW) is None
    assert ahead(NOW, NOW - timedelta(seconds=1)) == NOW


def test_a_job_is_scheduled_until_its_time_or_a_worker_has_come() -> None:
    queued, started = JobQueued(payload="queued"), JobStarted(payload="started", attempt=1)
    later = datetime.now(UTC) + timedelta(days=2)
    assert standing(state(later.isoformat(), queued)).startswith(f"scheduled for {local(later)} (in ")
    assert standing(state(later.isoformat(), started)) == "running"
    assert standing(state(NOW.replace(year=2020).isoformat(), queued)) == "queued"
    assert standing(state(None, queued)) == "queued"


def test_the_event_of_a_job_for_later_tells_when() -> None:
    event = {"action": "job_queued", "payload": "⏳ Job queued", "not_before": "2026-12-01T06:00:00.000000Z"}
    assert text(event) == "scheduled for 2026-12-01 07:00:00 CET: ⏳ Job queued"
    assert text(event | {"not_before": "rubbish"}) == "⏳ Job queued"
