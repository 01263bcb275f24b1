"""A person reads an answer while a job writes it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from bus import Bus, Settings, subjects
from bus.messages import Event, JobCancelled, JobFailed, JobOutput, JobResult, JobStarted
from testbed.servers import Web
from testbed.system import System, running
from tests.e2e.browser import SECRET, SystemPage, expect_result, id_of, system_page

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

MARKUP = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"

RECORD_TEXTS = """() => {
    window.texts = [];
    const box = document.querySelector(".job-text");
    const frame = () => {
        if (window.texts.at(-1) !== box.textContent) window.texts.push(box.textContent);
        requestAnimationFrame(frame);
    };
    frame();
}"""
"""What a person sees: the text of the only job at every frame that is painted."""

RECORD_SHIFTS = """() => {
    window.shifted = 0;
    const add = (list) => list.getEntries().forEach(({value}) => window.shifted += value);
    new PerformanceObserver(add).observe({type: "layout-shift"});
}"""
A_LITTLE = 0.005
"""Of a layout shift: what other numbers and other words on buttons move beside them."""

HELD = """() => {
    const box = document.querySelector(".job-text");
    return [getSelection().toString(), box.scrollTop, box.scrollHeight - box.clientHeight - box.scrollTop < 8];
}"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Without a worker: the tests write what one would."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_SECRET=SECRET)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bus(system: System) -> AsyncIterator[Bus]:
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        yield bus


class Job:
    """A job that was submitted on a page, as a worker tells of it."""

    def __init__(self, bus: Bus, subject: str) -> None:
        self._bus = bus
        self._subject = subject

    @classmethod
    async def submitted(cls, bus: Bus, tab: SystemPage, content: str) -> Job:
        await tab.submit("default", content)
        await expect(tab.job(content).locator(".badge")).to_have_text("Queued")
        queued = await bus.stream.last(subjects.any_client(await id_of(tab.job(content))))
        assert queued is not None
        return cls(bus, queued.subject)

    async def step(self, event: Event) -> None:
        await self._bus.stream.append(self._subject, event.encode().encode())

    async def begin(self, attempt: int = 1) -> None:
        await self.step(JobStarted(payload="▶ Job started", attempt=attempt))

    async def write(self, *texts: str, attempt: int = 1, index: int = 0) -> None:
        for number, text in enumerate(texts, index):
            piece = JobOutput(payload=text, attempt=attempt, index=number)
            await self._bus.stream.append(f"{self._subject}.output", piece.encode().encode())


async def spoken(tab: SystemPage) -> list[str]:
    """Everything that a screen reader was told."""
    texts: list[str] = await tab.page.locator("#spoken > p").all_inner_texts()
    return texts


async def test_text_appears_as_it_comes_and_the_result_takes_its_place_without_a_flicker(
    browser: Browser, web: Web, bus: Bus
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        job = await Job.submitted(bus, tab, "once")
        text = tab.job("once").locator(".job-text")
        await job.begin()
        await tab.page.evaluate(RECORD_TEXTS)
        whole = ""
        for index, piece in enumerate(["Once upon\n", MARKUP, " a\n" * 40, " time"]):
            await job.write(piece, index=index)
            whole += piece
            await expect(text).to_have_text(whole)
            if not index:
                await tab.page.evaluate(RECORD_SHIFTS)
        await expect(tab.job("once").get_by_role("progressbar")).to_have_count(0)
        await tab.page.evaluate("getSelection().selectAllChildren(document.querySelector('.job-text'))")
        marked = await tab.page.evaluate("getSelection().toString()")
        await job.step(JobResult(payload=whole))
        await expect_result(tab.job("once"), whole)
        seen = await tab.page.evaluate("texts")
        assert all(later.startswith(earlier) for earlier, later in pairwise(seen)), seen
        assert await tab.page.evaluate("getSelection().toString()") == marked
        assert await tab.page.evaluate("shifted") < A_LITTLE
        assert await tab.page.locator("#jobs img, #jobs b").count() == 0
        assert tab.troubles == []


async def test_a_screen_reader_is_told_the_end_once_and_no_piece(browser: Browser, web: Web, bus: Bus) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        job = await Job.submitted(bus, tab, "quietly")
        await job.begin()
        await job.write(*(f"{number} " for number in range(50)))
        await expect(tab.job("quietly").locator(".job-text")).to_have_text(re.compile("49"))
        assert await spoken(tab) == ["Connected"]
        live = "[aria-live], [role=log], [role=status], [role=alert]"
        assert await tab.page.locator(live).locator(".job-text").count() == 0
        await job.step(JobResult(payload="the end"))
        await expect(tab.spoken("Done: the end")).to_have_count(1)
        assert len(await spoken(tab)) == 2


async def test_a_new_attempt_replaces_what_the_one_before_wrote(browser: Browser, web: Web, bus: Bus) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        job = await Job.submitted(bus, tab, "again")
        text = tab.job("again").locator(".job-text")
        await job.begin()
        await job.write("half an ans")
        await expect(text).to_have_text("half an ans")
        await job.begin(2)
        await expect(text).to_have_text("")
        await job.write("the ", "answer", attempt=2)
        await expect(text).to_have_text("the answer")
        await expect(tab.job("again").locator(".job-line")).to_contain_text("attempt 2")


async def test_a_reload_shows_what_was_written_so_far_and_goes_on(browser: Browser, web: Web, bus: Bus) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        job = await Job.submitted(bus, tab, "reloaded")
        text = tab.job("reloaded").locator(".job-text")
        await job.begin()
        await job.write("so ", "far")
        await expect(text).to_have_text("so far")
        await tab.page.goto("about:blank")
        await job.write(", so", index=2)
        await tab.page.go_back()
        await tab.expect_connected()
        await expect(text).to_have_text("so far, so")
        await job.write(" good", index=3)
        await expect(text).to_have_text("so far, so good")
        await job.step(JobResult(payload="so far, so good"))
        await expect(tab.job("reloaded").locator(".badge")).to_have_text("Done")
        await tab.page.reload()
        await expect_result(tab.job("reloaded"), "so far, so good")


@pytest.mark.parametrize(
    ("end", "badge", "reason"),
    [
        (JobCancelled(payload="🚫 Job cancelled"), "Cancelled", ""),
        (JobFailed(payload="❌ Job failed: no more paper", reason="no more paper"), "Failed", "no more paper"),
    ],
)
async def test_what_was_written_stays_readable_when_a_job_has_no_result(
    browser: Browser, web: Web, bus: Bus, end: Event, badge: str, reason: str
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        job = await Job.submitted(bus, tab, "cut short")
        await job.begin()
        await job.write("so ", "far")
        await job.step(end)
        for _ in range(2):
            await expect(tab.job("cut short").locator(".badge")).to_have_text(badge)
            await expect(tab.job("cut short").locator(".job-text")).to_have_text("so far")
            await expect(tab.job("cut short").locator(".job-detail > p").first).to_have_text(reason)
            await tab.page.reload()
            await tab.expect_connected()


async def test_a_reader_at_the_end_stays_there_and_one_further_up_is_left_alone(
    browser: Browser, web: Web, bus: Bus
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        job = await Job.submitted(bus, tab, "long")
        text = tab.job("long").locator(".job-text")
        await job.begin()

        async def place(index: int) -> Any:
            await job.write(*(f"line {number}\n" for number in range(index, index + 40)), index=index)
            await expect(text).to_have_text(re.compile(f"line {index + 39}\n*$"))
            return await tab.page.evaluate(HELD)

        assert (await place(0))[2]
        assert (await place(40))[2]
        await text.evaluate("(box) => box.scrollTop = 100")
        assert (await place(80))[1] == 100
        await job.step(JobResult(payload="".join(f"line {number}\n" for number in range(120))))
        await expect(tab.job("long").locator(".badge")).to_have_text("Done")
        assert (await tab.page.evaluate(HELD))[1] == 100
