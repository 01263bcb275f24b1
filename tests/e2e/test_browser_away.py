"""The /system/ page when its server dies, forgets it or loses what it sent, and when it is reloaded meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, Locator, WebSocketRoute, expect

from testbed.system import System
from tests.e2e.browser import SECRET, broadcast, expect_result, stored, system_page


async def shown_at(item: Locator) -> str | None:
    return await item.locator("time").get_attribute("datetime")


async def test_a_killed_server_is_waited_for_and_nothing_typed_is_lost(browser: Browser, system: System) -> None:
    web = system.web()
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.content.fill("typed before the crash")
        web.kill()
        await expect(tab.connection).to_contain_text("Reconnecting in")
        await expect(tab.button).to_be_disabled()
        await expect(tab.page.locator("#submit-reason")).to_contain_text("Not connected")
        await asyncio.to_thread(web.start)
        await tab.expect_connected()
        await expect(tab.content).to_have_value("typed before the crash")
        await tab.button.click()
        await expect_result(tab.job("typed before the crash"), "crash")


async def test_a_person_may_reconnect_at_once(browser: Browser, system: System) -> None:
    web = system.web()
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.page.evaluate("Math.random = () => 1e6")  # the next attempt is days away
        web.kill()
        await expect(tab.connection).to_contain_text("Reconnecting in")
        await asyncio.to_thread(web.start)
        await tab.page.get_by_role("button", name="Reconnect now").click()
        await tab.expect_connected()
        await expect(tab.page.get_by_role("button", name="Reconnect now")).to_be_hidden()


async def test_a_reload_shows_a_running_job_and_then_its_result_once(browser: Browser, fresh: System) -> None:
    worker = fresh.worker(BUS_JOB_DELAY_SCALE="2")
    web = fresh.web(BUS_SECRET=SECRET)
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("generate", "reloaded,\nin two lines")
        await expect(tab.job("reloaded").locator(".badge")).to_have_text("Running")
        worker.pause()
        await tab.page.reload()
        await tab.expect_connected()
        await expect(tab.job("reloaded").locator(".badge")).to_have_text("Running")
        await expect(tab.job("reloaded").locator(".job-content")).to_have_text("reloaded,\nin two lines")
        await expect(tab.job("reloaded").locator(".job-type")).to_have_text("generate")
        worker.resume()
        await expect_result(tab.job("reloaded"), "AI Response")
        await expect(tab.jobs).to_have_count(1)
        await expect(tab.spoken("Done: ")).to_have_count(1)
        await expect(tab.page.locator("#history")).to_be_hidden()


async def test_an_announcement_is_there_after_a_reload_and_one_from_before_the_visit_is_not(
    browser: Browser, fresh: System
) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    await broadcast(fresh, "before anybody came")
    async with system_page(browser, web.url + "/system/") as tab:
        await broadcast(fresh, "seen")
        await expect(tab.notices).to_have_count(1)
        came = await shown_at(tab.notices.first)
        await tab.page.reload()
        await tab.expect_connected()
        await expect(tab.notices).to_have_count(1)
        await expect(tab.notices.first).to_contain_text("seen")
        assert await shown_at(tab.notices.first) == came


async def test_a_result_that_came_while_the_server_was_dead_is_shown_once(browser: Browser, fresh: System) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    fresh.worker(BUS_JOB_DELAY_SCALE="1")
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("translate", "hello")
        await expect(tab.job("hello").locator(".badge")).to_have_text("Running")
        web.kill()
        await expect(tab.connection).to_contain_text("Reconnecting in")
        await stored(fresh, "job_result")
        await asyncio.to_thread(web.start)
        await tab.expect_connected()
        await expect_result(tab.job("hello"), "hola")
        await expect(tab.jobs).to_have_count(1)
        await expect(tab.spoken("Done: ")).to_have_count(1)
        await expect(tab.page.locator("#history")).to_be_hidden()


async def test_a_page_that_is_open_for_longer_than_a_resume_token_lives_keeps_its_jobs(
    browser: Browser, fresh: System
) -> None:
    web = fresh.web(BUS_SECRET=SECRET, BUS_RESUME_MAX_AGE="6")
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "still mine")
        await expect(tab.job("still mine").locator(".badge")).to_have_text("Queued")
        for _ in range(2):  # each at half of the life of the one before
            await tab.page.wait_for_function(
                "before => sessionStorage['busctl.session'] !== before",
                arg=await tab.page.evaluate("sessionStorage['busctl.session']"),
            )
        await tab.page.reload()
        await tab.expect_connected()
        await expect(tab.job("still mine").locator(".badge")).to_have_text("Queued")
        await expect(tab.page.locator("#history")).to_be_hidden()
        assert tab.troubles == []


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("back", ["by itself", "by a reload"])
async def test_a_job_that_was_not_confirmed_is_sent_again_and_done_once(
    browser: Browser, fresh: System, lost: str, back: str
) -> None:
    fresh.worker()
    web = fresh.web(BUS_SECRET=SECRET)
    cut = asyncio.Event()

    def unreliable(to_page: WebSocketRoute) -> None:
        to_server = to_page.connect_to_server()
        if cut.is_set():
            return

        def from_page(frame: str | bytes) -> None:
            if "system_message" not in str(frame):
                to_server.send(frame)
            elif lost == "request":
                cut.set()
            else:
                to_server.on_message(lambda reply: cut.set() if "job_queued" in str(reply) else None)
                to_server.send(frame)

        to_page.on_message(from_page)

    async with await browser.new_context() as visitor:
        await visitor.route_web_socket("**/ws/system", unreliable)
        async with system_page(visitor, web.url + "/system/") as tab:
            await tab.submit("default", "only once")
            await asyncio.wait_for(cut.wait(), 30)
            await expect(tab.job("only once").locator(".badge")).to_have_text("Sending")
            if back == "by itself":
                web.kill()
                await expect(tab.connection).to_contain_text("Reconnecting in")
                await asyncio.to_thread(web.start)
            else:
                await tab.page.reload()
            await tab.expect_connected()
            await expect_result(tab.job("only once"), "ONLY ONCE")
            await expect(tab.jobs).to_have_count(1)
            assert len(await stored(fresh, "job_queued")) == 1
            await tab.page.reload()
            await tab.expect_connected()
            await expect(tab.jobs).to_have_count(1)
            assert len(await stored(fresh, "job_queued")) == 1


async def test_a_server_that_no_longer_knows_the_page_is_told_of_and_open_jobs_are_not_called_running(
    browser: Browser, fresh: System
) -> None:
    web = fresh.web()  # without BUS_SECRET tokens end with the process
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "nobody works on this")
        job = tab.job("nobody works on this")
        await expect(job.locator(".badge")).to_have_text("Queued")
        web.kill()
        await expect(tab.connection).to_contain_text("Reconnecting in")
        await expect(job.locator(".badge")).to_have_text("Queued")
        await asyncio.to_thread(web.start)
        await expect(job.locator(".badge")).to_have_text("Interrupted")
        await expect(tab.page.locator("#history")).to_contain_text("no longer knows this page")
        await tab.page.get_by_role("button", name="Dismiss").click()
        await expect(tab.page.locator("#history")).to_be_hidden()
        await tab.page.reload()
        await tab.expect_connected()
        await expect(tab.jobs).to_have_count(0)
