"""Jobs that wait, on the page: for the time that somebody chose, or for the next attempt; and ended ones done again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Locator, expect

from bus import Bus, Settings, SystemNotification, job_log, subjects, times
from bus.job_log import JobRequest
from testbed.servers import Web, Worker
from testbed.system import System
from tests.e2e.browser import SystemPage, client_of, expect_result, id_of, opened, system_for_pages, system_page
from tests.raw_jetstream import connected

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

DAY = 86_400.0
MORE_THAN_ARE_ASKED_AT_ONCE = 60
SAY = "async (time) => (await import('/static/times.js')).coming(new Date(time))"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system_for_pages(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture(scope="module", autouse=True)
def worker(system: System) -> Worker:
    return system.worker()


async def time_of(job: Locator, what: str) -> datetime:
    """A time of a job, as what is known of it has it."""
    fact = (await opened(job)).locator(".facts > div", has_text=what)
    return datetime.fromisoformat(await fact.locator("time").get_attribute("datetime") or "")


async def refused(tab: SystemPage, why: str) -> None:
    """The time is refused at its field, and nothing was sent."""
    time = tab.page.get_by_label("When should it begin?")
    await expect(tab.page.get_by_role("alert").filter(has_text=why)).to_be_visible()
    await expect(time).to_be_focused()
    await expect(time).to_have_attribute("aria-invalid", "true")
    await expect(tab.jobs).to_have_count(0)


async def test_a_job_for_later_says_when_and_runs_by_itself(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/", viewport={"width": 375, "height": 740}) as tab:
        asked = datetime.now(UTC)
        await tab.submit_later("in a while", 4)
        job = tab.job("in a while")
        await expect(job.locator(".badge")).to_have_text("Scheduled")
        moment = await time_of(job, "Scheduled for")
        assert timedelta(0) < moment - asked
        await expect(tab.spoken("Scheduled for ")).to_have_count(1)
        await expect(tab.page.get_by_label("When should it begin?")).to_be_hidden()
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= 375
        await tab.reload()
        await expect_result(job, "IN A WHILE")
        assert await time_of(job, "Not before") == moment
        assert await time_of(job, "Ended") >= await time_of(job, "Started") >= moment
        assert tab.troubles == []


@pytest.mark.usefixtures("idle")
async def test_when_its_time_has_come_it_is_queued_though_nobody_says_so(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit_later("soon", 3)
        job = tab.job("soon")
        await expect(job.locator(".badge")).to_have_text("Scheduled")
        await expect(job.locator(".badge")).to_have_text("Queued")


async def carried(system: System, *jobs: Locator) -> None:
    """Store these jobs once more, and cut all that is before that, as a worker does where it waits for days."""
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus, connected(system.nats.url) as raw:
        await bus.broadcast_event(SystemNotification(payload="of days ago"))
        found = []
        for job in jobs:
            job_id = await id_of(job)
            queued = await bus.stream.first(subjects.any_client(job_id))
            assert queued is not None
            address = subjects.parse(queued.subject)
            assert address is not None
            found.append(await job_log.carry(bus.stream, address.client_id or "", job_id))
        await raw.ask(f"STREAM.PURGE.{subjects.STREAM}", {"seq": min(seq or 0 for seq in found)})


async def submit_elsewhere(system: System, job: Locator, count: int) -> None:
    """Submit so many jobs for later as the client of this one, in another tab say."""
    later = times.written(datetime.now(UTC) + timedelta(days=30))
    request = JobRequest(task_type="default", job_type="default", content="many", not_before=later)
    client_id = await client_of(system, job)
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        for _ in range(count):
            await job_log.create(bus.stream, client_id, request, job_id=job_log.new_job_id(), waits=True)


async def test_one_that_waits_for_days_is_there_after_a_reload_and_can_be_cancelled(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit_later("some day", 30 * DAY)
        job = tab.job("some day")
        await expect(job.locator(".badge")).to_have_text("Scheduled")
        await carried(system, job)
        await tab.reload()
        await expect(job.locator(".badge")).to_have_text("Scheduled")
        await job.get_by_role("button", name="Cancel: some day").press("Enter")
        await expect(job.locator(".badge")).to_have_text("Cancelled")


async def test_when_history_is_cut_it_goes_on_waiting_unless_nobody_knows_it_any_more(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        for content in ("known", "forgotten"):
            await tab.submit_later(content, 30 * DAY)
            await expect(tab.job(content).locator(".badge")).to_have_text("Scheduled")
        await submit_elsewhere(system, tab.job("known"), MORE_THAN_ARE_ASKED_AT_ONCE)
        await expect(tab.chip("Scheduled")).to_have_text(f"Scheduled{2 + MORE_THAN_ARE_ASKED_AT_ONCE}")
        await tab.find("known")
        await tab.drop()
        await carried(system, tab.job("known"))
        await tab.reconnect_button.click()
        await expect(tab.page.locator("#history")).to_contain_text("Older history is no longer kept")
        await expect(tab.chip("Interrupted")).to_have_text(f"Interrupted{1 + MORE_THAN_ARE_ASKED_AT_ONCE}")
        await expect(tab.job("known").locator(".badge")).to_have_text("Scheduled")
        await tab.job("known").get_by_role("button", name="Cancel: known").click()
        await expect(tab.job("known").locator(".badge")).to_have_text("Cancelled")
        await expect(tab.page.locator("#alert")).to_be_hidden()


async def test_a_time_that_cannot_be_is_refused_at_its_field_and_kept(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.later.locator("summary").press("Enter")
        await tab.page.get_by_label("When should it begin?").press("1")
        await tab.later.locator("summary").press("Enter")
        await tab.submit("default", "half a date")
        await refused(tab, "This is no whole date and time.")
        await tab.reload()
        await tab.submit_later("too late", -60)
        await refused(tab, "This time has passed.")
        await tab.later.locator("summary").click()
        await expect(tab.later.locator("summary")).to_contain_text("Run later: ")
        await tab.submit_later("too early", 400 * DAY)
        await refused(tab, "a job may begin 366 days from now at the latest")
        # The reader's clock may be wrong; then the server says so, and what was typed is there again.
        await tab.later.evaluate("(box) => { box.dataset.mostAhead = 1e9; }")
        await tab.button.click()
        await expect(tab.jobs.locator(".badge")).to_have_text("Not accepted")
        await expect(tab.page.get_by_role("alert").filter(has_text="is too far ahead")).to_be_visible()
        await expect(tab.page.get_by_label("When should it begin?")).not_to_have_value("")
        assert tab.troubles == []


async def test_today_and_tomorrow_are_told_as_such(browser: Browser, web: Web) -> None:
    visitor = await browser.new_context(timezone_id="Europe/Berlin", locale="en-GB")
    async with visitor, system_page(visitor, web.url + "/system/") as tab:
        await tab.page.clock.set_fixed_time("2026-10-24T12:00:00+02:00")  # clocks change in the night that follows
        told = {
            "2026-10-24T23:59:00+02:00": "23:59 today",
            "2026-10-25T23:30:00+01:00": "23:30 tomorrow",
            "2026-10-26T00:00:00+01:00": "26 Oct 2026, 00:00",
        }
        assert {time: await tab.page.evaluate(SAY, time) for time in told} == told


async def test_a_job_that_waits_says_why_and_until_when_and_can_be_cancelled(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("flaky", "3000")
        job = tab.job("3000")
        await expect(job.locator(".badge")).to_have_text("Waiting")
        await expect(job.locator(".job-brief")).to_contain_text("there is no ink, attempt 2 at ")
        await expect(tab.spoken("Waiting: there is no ink")).to_have_count(1)
        await tab.page.reload()
        await expect(job.locator(".badge")).to_have_text("Waiting")
        await job.get_by_role("button", name="Cancel").click()
        await expect(job.locator(".badge")).to_have_text("Cancelled")


async def test_an_attempt_that_runs_shows_why_the_one_before_failed(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("flaky", "0.1")
        job = tab.job("0.1")
        await expect(job.locator("[data-field=attempt]")).to_have_text("attempt 2")
        await expect(job.locator(".badge")).to_have_text("Running")
        await expect(job.locator(".job-reasons")).to_have_text("Attempt 1 failed: there is no ink")
        await job.get_by_role("button", name="Cancel").click()
        await expect(job.locator(".badge")).to_have_text("Cancelled")


async def test_a_job_that_failed_is_done_again_as_a_new_one(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("flaky", "never")
        jobs = tab.job("never")
        await expect(jobs.locator(".job-reason")).to_have_text("there is no paper")
        await jobs.get_by_role("button", name="Retry").click()
        await expect(jobs).to_have_count(2)
        await expect(jobs.first.locator(".badge")).to_have_text("Failed")
        await expect(jobs.first.locator("[data-field=attempt]")).to_have_text("retry")
        await tab.page.reload()
        await expect(jobs).to_have_count(2)
        await expect(jobs.first.locator("[data-field=attempt]")).to_have_text("retry")
        assert tab.troubles == []
