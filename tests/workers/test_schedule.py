"""At which times a job begins by itself, and which definitions are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from workers.errors import JobDefinitionError
from workers.registry import Job, JobContext, job
from workers.schedule import Schedule

TICK = timedelta(microseconds=1)
CHANGES = {
    "Europe/Berlin": [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)],
    "America/New_York": [datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)],
    "America/Havana": [datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 11, 1, 5, tzinfo=UTC)],
    "America/Nuuk": [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)],
    "Australia/Lord_Howe": [datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)],
    "Asia/Kolkata": [datetime(2026, 3, 29, 1, tzinfo=UTC)],
}
"""When clocks change in some time zones, at midnight and before it too; in the last one they never do."""


def slots(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    found = []
    while (after := schedule.next(after)) <= until:
        found.append(after)
    return found


@st.composite
def around_a_change(draw: st.DrawFn) -> tuple[Schedule, datetime, datetime]:
    """A schedule by cron, and two times around one at which clocks change."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    minute = draw(st.sampled_from(["0", "30", "*", "*/20", "15,45", "5-50/15"]))
    hour = draw(st.sampled_from(["*", "*/2", "2", "0-3", "1,2,3", "0"]))
    day = draw(st.sampled_from(["*", "0", "1-5"]))
    change = draw(st.sampled_from(CHANGES[zone]))
    first, second = sorted(change + draw(st.timedeltas(timedelta(hours=-7), timedelta(hours=7))) for _ in range(2))
    return Schedule("x", cron=f"{minute} {hour} * * {day}", timezone=zone), first, second


@settings(max_examples=60)
@given(around_a_change())
@example(
    (
        Schedule("x", cron="0 */2 * * 0", timezone="America/Havana"),
        datetime(2026, 3, 7, 22, tzinfo=UTC),
        datetime(2026, 3, 8, 5, tzinfo=UTC),
    )
)
def test_of_cron_all_slots_are_the_same_wherever_one_begins_to_look(drawn: tuple[Schedule, datetime, datetime]) -> None:
    schedule, first, second = drawn
    found = slots(schedule, first, second)
    assert found == sorted(set(found))
    latest = schedule.latest(second)
    assert latest is not None
    assert latest == (found[-1] if found else schedule.latest(first))
    assert schedule.next(latest - TICK) == latest
    for slot in found:
        assert schedule.latest(slot) == slot
        assert schedule.latest(schedule.next(slot) - TICK) == slot


@pytest.mark.parametrize("zone", CHANGES)
def test_of_cron_with_a_star_every_moment_counts_whose_local_time_matches(zone: str) -> None:
    schedule = Schedule("x", cron="*/20 0-3 * * 0", timezone=zone)
    for change in CHANGES[zone]:
        moments = [change + timedelta(minutes=number) for number in range(-24 * 60, 24 * 60)]
        local = [(moment, moment.astimezone(ZoneInfo(zone))) for moment in moments]
        match = [
            moment for moment, here in local if here.minute % 20 == 0 and here.hour <= 3 and here.isoweekday() == 7
        ]
        assert slots(schedule, moments[0] - TICK, moments[-1]) == match


@given(
    st.sampled_from(["1s", "90s", "7m", "1h30m", "1d", "366d"]),
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(ZoneInfo("Europe/Berlin"))),
)
def test_every_counts_from_the_epoch(every: str, now: datetime) -> None:
    schedule = Schedule("x", every=every)
    latest, following = schedule.latest(now), schedule.next(now)
    assert latest is not None
    assert latest <= now < following
    assert schedule.next(latest) == following
    assert (latest - datetime(1970, 1, 1, tzinfo=UTC)) % (following - latest) == timedelta(0)


def test_a_day_is_a_day_in_utc() -> None:
    assert Schedule("x", every="1d").next(datetime(2026, 3, 28, 22, tzinfo=UTC)) == datetime(2026, 3, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "spring", "autumn"),
    [
        # 02:30 is not there in spring, and comes at once; in autumn it is there twice, and the first one counts.
        ("30 2 * * *", ["03:00+02:00"], ["02:30+02:00"]),
        ("0 2,3 * * *", ["03:00+02:00"], ["02:00+02:00", "03:00+01:00"]),
        # With a star as hour or minute the hours count that pass, not those that clocks show.
        ("30 * * * *", ["01:30+01:00", "03:30+02:00"], ["01:30+02:00", "02:30+02:00", "02:30+01:00", "03:30+01:00"]),
        ("*/30 2 * * *", [], ["02:00+02:00", "02:30+02:00", "02:00+01:00", "02:30+01:00"]),
    ],
)
def test_the_days_on_which_clocks_change(cron: str, spring: list[str], autumn: list[str]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    schedule = Schedule("x", cron=cron, timezone="Europe/Berlin")

    def between(day: datetime) -> list[str]:
        found = slots(schedule, day.replace(hour=1, tzinfo=zone), day.replace(hour=3, minute=59, tzinfo=zone))
        return [slot.astimezone(zone).isoformat(timespec="minutes")[11:] for slot in found]

    assert between(datetime(2026, 3, 29)) == spring
    assert between(datetime(2026, 10, 25)) == autumn


def test_another_definition_is_another_text() -> None:
    assert Schedule("x", every="1h30m").definition == "every 1h30m"
    assert Schedule("x", cron="0  6 * * *").definition == "cron 0 6 * * * UTC"
    assert Schedule("x", cron="0 6 * * *", timezone="Asia/Tokyo").definition == "cron 0 6 * * * Asia/Tokyo"


class Size(BaseModel):
    width: int


def of_text(content: str, job: JobContext) -> str:
    return content


def of_size(content: Size, job: JobContext) -> str:
    return str(content.width)


def of_nothing(content: None, job: JobContext) -> str:
    return "done"


@pytest.mark.parametrize(
    ("function", "arguments", "why"),
    [
        (of_text, {"every": "1m", "cron": "* * * * *"}, "has both every and cron"),
        (of_text, {"every": "1m", "timezone": "UTC"}, "has a timezone, which only cron has"),
        (of_text, {"timezone": "UTC"}, "has timezone for a schedule, and no schedule: give every or cron too"),
        (of_text, {"content": "x"}, "has content for a schedule, and no schedule: give every or cron too"),
        (of_text, {"every": "soon"}, "has every='soon', which is no duration, such as 90s, 15m, 2h, 1d or 1h30m"),
        (of_text, {"every": 15}, "has every=15, which is no duration"),
        (of_text, {"every": "0.5s"}, "has every='0.5s': it is to be at least 1s and at most 366d"),
        (of_text, {"every": "367d"}, "at most 366d"),
        (of_text, {"cron": "@daily"}, "has not five fields: minute hour day-of-month month day-of-week"),
        (of_text, {"cron": "0 0 6 * * *"}, "has not five fields"),
        (of_text, {"cron": "61 * * * *"}, "never comes, or cannot be read: Bad minute"),
        (of_text, {"cron": "0 0 30 2 *"}, "never comes, or cannot be read: Bad day-of-month"),
        (of_text, {"cron": "0 0 */20 2 1L"}, "which never comes"),
        (of_text, {"cron": "0 6 * * *", "timezone": "Europe/Bärlin"}, "no IANA time zone, such as Europe/Berlin"),
        (of_text, {"cron": "0 6 * * *", "timezone": "../UTC"}, "no IANA time zone"),
        (of_text, {"every": "1m", "content": 7}, "has content that it does not take: the content does not fit"),
        (of_size, {"every": "1m", "content": {"width": "wide"}}, "does not fit: width: "),
        (
            of_size,
            {"every": "1m", "content": object()},
            "has content that it does not take: the content does not fit: Unable to",
        ),
        (of_size, {"every": "1m"}, "needs content for its schedule: the content does not fit"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_where_it_is_written(
    function: Any, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(JobDefinitionError) as refused:
        job(**arguments)(function)
    assert str(refused.value).startswith(f"job '{function.__name__}' ({__name__}.{function.__name__}) ")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_job_knows_its_schedule_and_what_it_works_on_then() -> None:
    def content_of(made: Job) -> Any:
        assert made.schedule is not None
        return made.schedule.content

    assert job(of_text).schedule is None
    assert job(name="other", every="1m")(of_text).schedule == Schedule("other", every="1m", content="")
    assert content_of(job(every="1m", content="x")(of_text)) == "x"
    assert content_of(job(every="1m", content={"width": 1})(of_size)) == {"width": 1}
    assert content_of(job(every="1m", content=Size(width=1))(of_size)) == {"width": 1}
    assert content_of(job(every="1m")(of_nothing)) is None
