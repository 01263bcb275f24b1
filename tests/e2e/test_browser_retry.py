"""The page shows why a job is tried again and until when it waits, and does an ended job again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from testbed.servers import Web
from testbed.system import System, running
from tests import own_jobs
from tests.e2e.browser import system_page

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose jobs may fail."""
    directory: Path = tmp_path_factory.mktemp("system")
    with running(directory, PYTHONPATH=own_jobs.install(directory)) as system:
        system.worker()
        yield system


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web()


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
