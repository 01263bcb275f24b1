"""busctl jobs: which jobs there are, and how they stand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rich.text import Text

from bus import Bus, Settings, SystemNotification, job_log, subjects
from bus.job_log import JobRequest, JobState
from testbed.servers import Nats
from tests.cli.command import busctl


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


async def queued(bus: Bus, client_id: str, content: str = "hi") -> JobState:
    request = JobRequest(task_type="default", job_type="default", content=content)
    return await job_log.create(bus.stream, client_id, request, job_id=job_log.new_job_id())


def shown_in(columns: int, *arguments: str, **env: str) -> list[str]:
    """What a terminal of that width shows."""
    shown = busctl("jobs", *arguments, COLUMNS=str(columns), FORCE_COLOR="1", TERM="xterm", **env).stdout
    return [Text.from_ansi(line).plain for line in shown.splitlines()]


def listed(nats: Nats, *arguments: str) -> list[dict[str, Any]]:
    shown = busctl("jobs", "--json", *arguments, NATS_URL=nats.url)
    assert (shown.returncode, shown.stderr) == (0, "")
    return [json.loads(line) for line in shown.stdout.splitlines()]


async def test_each_job_is_one_object_with_its_state_and_the_newest_is_last(nats: Nats, bus: Bus) -> None:
    one, two = await queued(bus, "one"), await queued(bus, "one")
    await job_log.finish(bus.stream, await job_log.start(bus.stream, one), "done\nwell")
    first, second = listed(nats, "--client", "one")
    assert first == first | {
        "job_id": one.job_id,
        "client_id": "one",
        "type": "default",
        "content": "hi",
        "state": "job_result",
        "ended": True,
        "attempt": 1,
        "text": "done\nwell",
    }
    assert first["queued_at"] < first["last_at"]
    assert (second["job_id"], second["state"], second["ended"]) == (two.job_id, "job_queued", False)


async def test_open_shows_those_that_have_not_ended(nats: Nats, bus: Bus) -> None:
    oldest, *others = [await queued(bus, "two") for _ in range(4)]
    for job in others:
        await job_log.cancel(bus.stream, "two", job.job_id)
    assert [job["job_id"] for job in listed(nats, "--client", "two", "--open", "--limit", "2")] == [oldest.job_id]


async def test_limit_shows_the_newest_however_far_back_they_are(nats: Nats, bus: Bus) -> None:
    jobs = [await queued(bus, "three") for _ in range(4)]
    for _ in range(1200):
        await bus.send_event(SystemNotification(payload="x"), "elsewhere")
    newest = [job.job_id for job in jobs[-3:]]
    assert [job["job_id"] for job in listed(nats, "--client", "three", "--limit", "3")] == newest
    assert len(listed(nats, "--client", "three", "--limit", "50")) == 4


async def test_for_people_each_job_is_one_line_of_a_table(nats: Nats, bus: Bus) -> None:
    job = await queued(bus, "four", "[red]x[/red]\x1b[2J\n" + "y" * 500)
    shown = busctl("jobs", "--client", "four", "--limit", "1", NATS_URL=nats.url)
    header, row = shown.stdout.splitlines()
    assert header.split() == ["JOB", "TYPE", "STATE", "TRY", "AGE", "TOOK", "TEXT"]
    assert row.startswith(job.job_id)
    assert " queued " in row
    assert r"[red]x[/red]\x1b[2J " + "y" * 500 in row
    assert "--limit" in shown.stderr


async def test_in_80_columns_the_text_has_most_room_and_ids_are_short_and_tell_jobs_apart(nats: Nats, bus: Bus) -> None:
    request = JobRequest(task_type="default", job_type="default", content="z" * 500)
    for job_id in ("aaaabbbbccccdd01", "aaaabbbbccccdd02"):
        await job_log.create(bus.stream, "five", request, job_id=job_id)
    alike = shown_in(80, "--limit", "2", NATS_URL=nats.url)
    assert [line.split()[0] for line in alike[1:3]] == ["aaaabbbbccccdd01", "aaaabbbbccccdd02"]
    job = await queued(bus, "five", "z" * 500)
    header, line, *_ = shown_in(80, "--limit", "1", NATS_URL=nats.url)
    assert line.split()[0] == job.job_id[:8]
    assert line.count("z") > 25
    assert header.split()[-1] == "CLIENT"
    assert line.split()[-1] == "five"
    assert all(len(line) <= 80 for line in (*alike, header, line))


async def test_of_a_job_that_failed_the_reason_alone_is_shown(nats: Nats, bus: Bus) -> None:
    await job_log.fail(bus.stream, await queued(bus, "seven"), "paper jam\n  in tray 2")
    _, row = shown_in(60, "--client", "seven", NATS_URL=nats.url)
    assert row.endswith(" paper jam in tray 2")


async def test_a_beginning_of_an_id_is_enough_everywhere(nats: Nats, bus: Bus) -> None:
    request = JobRequest(task_type="default", job_type="default", content="x")
    for client_id, job_id in (("ann", "cafe0001"), ("ann", "cafe0002"), ("bob", "cafe1111")):
        await job_log.create(bus.stream, client_id, request, job_id=job_id)
    several = busctl("cancel", "cafe", NATS_URL=nats.url)
    assert (several.returncode, several.stdout) == (1, "")
    assert "3 jobs begin with cafe: " in several.stderr
    assert "cafe0001 of ann" in several.stderr
    assert "type more of the one you mean" in several.stderr
    assert busctl("cancel", "cafe1", NATS_URL=nats.url).stdout == "Job cafe1111 cancelled.\n"
    assert busctl("cancel", "cafe", "--client", "bob", NATS_URL=nats.url).returncode == 1  # it had ended
    assert busctl("cancel", "cafe0001", NATS_URL=nats.url).returncode == 0
    assert "caf is too short" in busctl("cancel", "caf", NATS_URL=nats.url).stderr
    assert (
        "no job beef0 of the client ann is known"
        in busctl("cancel", "beef0", "--client", "ann", NATS_URL=nats.url).stderr
    )


async def test_what_another_program_wrote_on_a_jobs_subject_is_passed_over(nats: Nats, bus: Bus) -> None:
    await bus.stream.append(subjects.job("six", "foreign"), b"\xff no json")
    job = await queued(bus, "six")
    assert [one["job_id"] for one in listed(nats, "--client", "six")] == [job.job_id]


def test_no_jobs_is_said(nats: Nats) -> None:
    assert busctl("jobs", "--client", "nobody", NATS_URL=nats.url).stderr == "No jobs.\n"
    assert busctl("jobs", "--client", "nobody", "--open", NATS_URL=nats.url).stderr == "No open jobs.\n"
    assert busctl("jobs", "--client", "nobody", "-q", NATS_URL=nats.url).stdout == ""


def test_wrong_usage_exits_with_2() -> None:
    assert busctl("jobs", "--limit", "0").returncode == 2
    assert busctl("jobs", "--client", "a b").returncode == 2


def test_without_nats_it_fails_and_names_the_server() -> None:
    failed = busctl("jobs", "--timeout", "0.5")
    assert failed.returncode == 1
    assert "nats://127.0.0.1:1" in failed.stderr
