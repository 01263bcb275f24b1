"""What a job writes is printed as it comes: by submit --wait and by watch, once, and safe to show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from bus import Bus, Settings, Stored, subjects
from bus.messages import Event, JobCancelled, JobOutput, JobQueued, JobResult, JobStarted
from testbed.system import System, running
from tests.cli.background import Background, background
from tests.cli.terminal import in_terminal


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Without a worker: the tests write what one would."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture
async def bus(system: System) -> AsyncIterator[Bus]:
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        yield bus


class Job:
    """The job that was submitted last, as a worker tells of it."""

    def __init__(self, bus: Bus, queued: Stored) -> None:
        self._bus = bus
        self._subject = queued.subject
        self.job_id = queued.subject.split(".")[-1]

    @classmethod
    async def submitted(cls, bus: Bus, client_id: str) -> Job:
        async with asyncio.timeout(30), bus.follow(subjects.steps(client_id), after=0) as events:
            return cls(bus, await anext(events))

    async def step(self, event: Event) -> None:
        await self._bus.stream.append(self._subject, event.encode().encode())

    async def begin(self, attempt: int = 1) -> None:
        await self.step(JobStarted(payload="▶ Job started", attempt=attempt))

    async def write(self, *texts: str, attempt: int = 1) -> None:
        for index, text in enumerate(texts):
            piece = JobOutput(payload=text, attempt=attempt, index=index)
            await self._bus.stream.append(f"{self._subject}.output", piece.encode().encode())


async def line(command: Background) -> str:
    return await asyncio.to_thread(command.line)


async def test_submit_prints_what_is_written_before_the_end_and_the_result_once(system: System, bus: Bus) -> None:
    with background("submit", "default", "x", "--wait", "--client", "live", **system.env) as command:
        job = await Job.submitted(bus, "live")
        await job.begin()
        await job.write("half an ans")
        await job.begin(2)
        await job.write("one\ntw", "o\nthr", attempt=2)
        assert [await line(command) for _ in range(3)] == ["half an ans", "one", "two"]
        await job.step(JobResult(payload="one\ntwo\nthree"))  # whose last piece was not stored
        assert await line(command) == "three"
        assert command.end() == 0
        assert command.rest() == ([], ["attempt 2 begins again; what is above is of attempt 1"])


async def test_what_was_written_stays_when_the_job_is_cancelled(system: System, bus: Bus) -> None:
    with background("submit", "default", "x", "--wait", "--client", "off", **system.env) as command:
        job = await Job.submitted(bus, "off")
        await job.begin()
        await job.write("so far")
        await job.step(JobCancelled(payload="🚫 Job cancelled"))
        assert await line(command) == "so far"
        assert command.end() == 1
        assert "was cancelled" in "".join(command.rest()[1])


async def test_json_is_an_event_a_line(system: System, bus: Bus) -> None:
    with background("submit", "default", "x", "--wait", "--json", "--client", "json", **system.env) as command:
        job = await Job.submitted(bus, "json")
        await job.begin()
        await job.write("a\n", "b")
        await job.step(JobResult(payload="a\nb"))
        events = [json.loads(await line(command)) for _ in range(5)]
        assert command.end() == 0
    assert [event["action"] for event in events][1:] == ["job_started", "job_output", "job_output", "job_result"]
    assert [(e["payload"], e["attempt"], e["index"], e["job_id"]) for e in events[2:4]] == [
        ("a\n", 1, 0, job.job_id),
        ("b", 1, 1, job.job_id),
    ]


async def test_watching_a_job_shows_a_text_that_grows_between_its_steps(system: System, bus: Bus) -> None:
    subject = subjects.job("ann", "watched")
    queued = await bus.stream.append(subject, JobQueued(payload="queued").encode().encode())
    job = Job(bus, Stored(queued, subject, b""))
    await job.begin()
    await job.write("before it ")
    with background("watch", "--job", "watched", **system.env) as command:
        rows = [await line(command), await line(command)]
        await job.write("was watched\nand sin", "ce")
        await job.step(JobResult(payload="before it was watched\nand since"))
        assert [await line(command), await line(command)] == ["before it was watched", "and since"]
        rows.append(await line(command))
    assert [row.split()[3] for row in rows] == ["queued", "started", "result"]
    assert rows[-1].endswith("what is above")


async def test_a_terminal_shows_the_text_and_no_bar_in_it(system: System, bus: Bus) -> None:
    arguments = ("submit", "default", "x", "--wait", "--client", "tty")
    shown = asyncio.create_task(asyncio.to_thread(in_terminal, *arguments, columns=80, **system.env))
    job = await Job.submitted(bus, "tty")
    await job.begin()
    await job.write("plain \x1b[2J[red]", "\u200dtext\n")
    await job.step(JobResult(payload="plain \x1b[2J[red]\u200dtext\n"))
    lines = [line.plain.strip() for line in (await shown).lines]
    assert r"plain \x1b[2J[red]\u200dtext" in lines[-1]
    assert "\x1b[2J" not in (await shown).raw


def test_the_bar_of_a_job_for_later_shows_that_its_time_has_come(system: System) -> None:
    arguments = ("submit", "default", "hi", "--in", "2s", "--wait", "--client", "later")
    shown = in_terminal(*arguments, columns=80, until="queued", **system.env)
    assert shown.returncode == 130
    before, _, _ = shown.raw.partition("queued")
    assert " scheduled for 20" in before
