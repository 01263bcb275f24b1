"""The /system/ page when its server dies, forgets it or loses what it sent, and when it is reloaded meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, WebSocketRoute, expect

from testbed.servers import Web, Worker
from testbed.system import System
from tests.e2e.browser import (
    DEADLINE,
    PHONE,
    SystemPage,
    broadcast,
    expect_result,
    opened,
    stored,
    system_for_pages,
    system_page,
)
from tests.e2e.patient import let_end
from tests.proxy import proxy_of
from tests.tokens import SHARED, token

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system_for_pages(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture(scope="module", autouse=True)
def worker(system: System) -> Worker:
    return system.worker()


@pytest.fixture(scope="module")
def started(system: System) -> Web:
    return system.web()


@pytest.fixture
def web(started: Web) -> Web:
    """The web process, started again if the test before has ended while it was dead."""
    started.revive()
    return started


HEIGHT = "(element) => element.offsetHeight"
RECORD = """() => {
    const box = document.querySelector("#connection");
    window.phases = [];
    new MutationObserver(() => window.phases.push(box.dataset.phase)).observe(box, {attributes: true});
}"""
RECORD_PHASES = f'addEventListener("DOMContentLoaded", {RECORD})'


async def shown_at(item: Locator) -> str | None:
    return await item.locator("time").get_attribute("datetime")


async def test_a_killed_server_is_waited_for_and_nothing_typed_is_lost(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.content.fill("typed before the crash")
        await tab.lose(web)
        await expect(tab.page.locator("#submit-reason")).to_contain_text("sent when the connection is back")
        await tab.button.click()
        await expect(tab.job("typed before the crash").locator(".badge")).to_have_text("Sending")
        await tab.content.fill("not submitted")
        await asyncio.to_thread(web.start)
        await tab.expect_connected()
        await expect_result(tab.job("typed before the crash"), "crash")
        await expect(tab.page.locator("#resumed")).to_have_text("Back again, nothing was missed")
        await expect(tab.content).to_have_value("not submitted")


@pytest.mark.usefixtures("idle")
async def test_a_person_may_reconnect_at_once_and_a_cancel_that_did_not_arrive_is_sent_again(
    browser: Browser, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/", viewport=PHONE) as tab:
        height = await tab.page.locator(".top").evaluate(HEIGHT)
        await tab.submit("default", "called off")
        job = tab.job("called off")
        await expect(job.locator(".badge")).to_have_text("Queued")
        await tab.drop()
        assert await tab.page.locator(".top").evaluate(HEIGHT) == height  # and so nothing below it jumps
        await job.get_by_role("button", name="Cancel").click()
        await expect(job.get_by_role("button", name="Cancelling…")).to_be_visible()
        await tab.reconnect_button.click()
        await tab.expect_connected()
        await expect(tab.reconnect_button).to_be_hidden()
        await expect(tab.page.locator("#resumed")).not_to_be_empty()
        assert await tab.page.locator(".top").evaluate(HEIGHT) == height
        await expect(job.locator(".badge")).to_have_text("Cancelled")


async def test_a_page_that_wakes_sees_at_once_that_nobody_is_there_and_comes_back(browser: Browser, web: Web) -> None:
    async with proxy_of(web.port) as proxy, system_page(browser, f"http://127.0.0.1:{proxy.port}/system/") as tab:
        proxy.swallow()  # the socket looks open; by itself the page would see it after 35 s, which are too long here
        await tab.page.evaluate(f"({RECORD})()")
        await tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))")
        async with asyncio.timeout(DEADLINE / 1000):
            while "connected" not in await tab.page.evaluate("window.phases"):
                await asyncio.sleep(0.1)
        await tab.submit("default", "after the sleep")
        await expect_result(tab.job("after the sleep"), "AFTER THE SLEEP")


async def test_a_reload_shows_announcements_and_a_running_job_and_then_its_result_once(
    browser: Browser, system: System, web: Web
) -> None:
    await broadcast(system, "before anybody came")
    async with system_page(browser, web.url + "/system/") as tab:
        await broadcast(system, "seen")
        await expect(tab.notices).to_have_count(1)
        came = await shown_at(tab.notices.first)
        await tab.submit("patient", "reloaded,\nin two lines")
        await expect(tab.job("reloaded").locator(".badge")).to_have_text("Running")
        await tab.reload()
        await expect(tab.job("reloaded").locator(".badge")).to_have_text("Running")
        detail = await opened(tab.job("reloaded"))
        await expect(detail.locator(".job-content")).to_have_text("reloaded,\nin two lines")
        await expect(tab.job("reloaded").locator(".job-type")).to_have_text("patient")
        await expect(tab.notices).to_have_count(1)
        await expect(tab.notices.first).to_contain_text("seen")
        assert await shown_at(tab.notices.first) == came
        let_end(system, "reloaded,\nin two lines")
        await expect_result(tab.job("reloaded"), "as long as it took")
        await expect(tab.jobs).to_have_count(1)
        await expect(tab.spoken("Done: ")).to_have_count(1)
        await expect(tab.page.locator("#history")).to_be_hidden()


async def test_a_result_that_came_while_the_server_was_dead_is_shown_once(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        job = tab.job("hello")
        await tab.submit("patient", "hello")
        await expect(job.locator(".badge")).to_have_text("Running")
        await tab.lose(web, for_days=True)
        let_end(system, "hello")
        await stored(system, "job_result", "hello")
        await asyncio.to_thread(web.start)
        await tab.reconnect_button.click()
        await expect_result(job, "as long as it took")
        await expect(tab.jobs).to_have_count(1)
        await expect(tab.spoken("Done: ")).to_have_count(1)
        await expect(tab.page.locator("#history")).to_be_hidden()


@pytest.mark.usefixtures("idle")
async def test_a_page_that_is_open_for_longer_than_a_resume_token_lives_keeps_its_jobs(
    browser: Browser, system: System
) -> None:
    web = system.web(BUS_RESUME_MAX_AGE="6")
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "still mine")
        await expect(tab.job("still mine").locator(".badge")).to_have_text("Queued")
        for _ in range(2):  # each at half of the life of the one before
            await tab.page.wait_for_function(
                "before => sessionStorage['busctl.session'] !== before",
                arg=await tab.page.evaluate("sessionStorage['busctl.session']"),
                polling=100,
            )
        await tab.reload()
        await expect(tab.job("still mine").locator(".badge")).to_have_text("Queued")
        await expect(tab.page.locator("#history")).to_be_hidden()
        assert tab.troubles == []


@pytest.mark.usefixtures("idle")
async def test_a_tab_that_is_a_copy_of_another_is_a_client_of_its_own(browser: Browser, web: Web) -> None:
    async with await browser.new_context() as visitor, system_page(visitor, web.url + "/system/") as tab:
        await tab.submit("default", "of the first tab")
        await expect(tab.job("of the first tab").locator(".badge")).to_have_text("Queued")
        async with tab.page.expect_popup() as popup:
            await tab.page.evaluate("void window.open(location.href)")  # with a copy of what the tab remembers
        copy = SystemPage(await popup.value)
        await copy.expect_connected()
        await expect(copy.jobs).to_have_count(0)
        await copy.submit("default", "of the copy")
        await expect(copy.job("of the copy").locator(".badge")).to_have_text("Queued")
        for one, content in ((tab, "of the first tab"), (copy, "of the copy"), (tab, "of the first tab")):
            await one.reload()
            await expect(one.jobs).to_have_count(1)
            await expect(one.job(content).locator(".badge")).to_have_text("Queued")
            await expect(one.page.locator("#history")).to_be_hidden()
        await tab.page.close()
        await copy.reload()  # what it remembers is its own also when the other one is gone
        await expect(copy.job("of the copy").locator(".badge")).to_have_text("Queued")
        assert copy.troubles == tab.troubles == []


@pytest.mark.usefixtures("idle")
async def test_where_people_sign_in_the_cookie_says_who_it_is_and_every_tab_shows_their_jobs(
    browser: Browser, system: System
) -> None:
    signs_in = {"BUS_AUTH": "jwt", "BUS_AUTH_SECRET": SHARED, "BUS_AUTH_COOKIE": "id"}
    web = system.web(**signs_in)
    page = web.url + "/system/"

    def cookie(sub: str, lasts: int) -> list[Any]:
        given = token(sub=sub, iss=None, aud=None, exp=int(time.time()) + lasts)
        return [{"name": "id", "value": given, "url": web.url, "httpOnly": True, "sameSite": "Strict"}]

    async with await browser.new_context() as visitor, await visitor.new_page() as opened_page:
        tab = SystemPage(opened_page)
        await opened_page.goto(page)
        await expect(tab.connection).to_have_text("Not signed in")
        await expect(opened_page.locator("#closed")).to_contain_text("not signed in: a token is needed, and none came")
        await visitor.add_cookies(cookie("alice", 600))
        await opened_page.get_by_role("button", name="Connect again").click()
        await tab.expect_connected()
        await tab.submit("default", "alice's")
        await expect(tab.job("alice's").locator(".badge")).to_have_text("Queued")
        async with await browser.new_context() as device:
            await device.add_init_script(RECORD_PHASES)
            await device.add_cookies(cookie("alice", 3))
            async with system_page(device, page) as other:
                await expect(other.job("alice's").locator(".badge")).to_have_text("Queued")
                await device.add_cookies(cookie("alice", 600))  # renewed by the site before the first one expires
                await other.page.wait_for_function("() => window.phases.includes('waiting')")
                await other.expect_connected()
                await device.add_cookies(cookie("bob", 600))
                await other.reload()
                await expect(other.jobs).to_have_count(0)
        assert tab.troubles == []


async def test_a_job_that_was_not_confirmed_is_sent_again_and_done_once(
    browser: Browser, system: System, web: Web
) -> None:
    lost, gone = "", asyncio.Event()

    def unreliable(to_page: WebSocketRoute) -> None:
        to_server = to_page.connect_to_server()

        def from_page(frame: str | bytes) -> None:
            if "system_message" in str(frame) and not gone.is_set():
                if lost == "request":
                    gone.set()
                    return
                to_server.on_message(lambda reply: gone.set() if "job_queued" in str(reply) else None)
            to_server.send(frame)

        to_page.on_message(from_page)

    async with system_page(browser, web.url + "/system/", routed=unreliable) as tab:
        for number, (lost, back) in enumerate(product(("request", "reply"), ("connected again", "by a reload")), 1):
            content = f"only once, {lost} {back}"
            gone.clear()
            await tab.submit("default", content)
            await asyncio.wait_for(gone.wait(), 30)
            await expect(tab.job(content).locator(".badge")).to_have_text("Sending")
            if back == "by a reload":
                await tab.reload()
            else:
                await tab.drop()
                await tab.reconnect_button.click()
            await expect_result(tab.job(content), content.upper())
            await expect(tab.jobs).to_have_count(number)
            assert len(await stored(system, "job_queued", content)) == 1
        await tab.reload()
        await expect(tab.jobs).to_have_count(4)
        assert len(await stored(system, "job_queued", content)) == 1


@pytest.mark.usefixtures("idle")
async def test_a_server_that_no_longer_knows_the_page_is_told_of_and_open_jobs_are_not_called_running(
    browser: Browser, system: System
) -> None:
    web = system.web(BUS_SECRET="")  # tokens end with the process
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "nobody works on this")
        job = tab.job("nobody works on this")
        await expect(job.locator(".badge")).to_have_text("Queued")
        await tab.lose(web, for_days=True)
        await expect(job.locator(".badge")).to_have_text("Queued")
        await asyncio.to_thread(web.start)
        await tab.reconnect_button.click()
        await expect(job.locator(".badge")).to_have_text("Interrupted")
        await expect(tab.page.locator("#history")).to_contain_text("no longer knows this page")
        await tab.page.get_by_role("button", name="Dismiss").click()
        await expect(tab.page.locator("#history")).to_be_hidden()
        await tab.reload()
        await expect(tab.jobs).to_have_count(0)


@pytest.mark.usefixtures("idle")
async def test_a_job_that_was_not_accepted_says_why_until_it_proves_to_be_stored(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        system.nats.pause()
        try:
            await tab.submit("default", "late")
            job = tab.job("late")
            await expect(job.locator(".badge")).to_have_text("Not accepted")
            await expect(job.locator(".job-brief")).not_to_be_empty()
            await tab.expect_connected()
        finally:
            system.nats.resume()  # which reads now what it was sent
        await expect(job.locator(".badge")).to_have_text("Queued")
        await expect(job.locator(".job-acts button:visible")).to_have_text(["Cancel"])


READ_EVENTS = """async () => {
    window.seen = [];
    const source = new EventSource("/api/events?last_event_id=client:0");
    const note = (event) => window.seen.push(JSON.parse(event.data));
    for (const action of ["welcome", "job_queued", "job_started", "job_result", "system_notification"])
        source.addEventListener(action, note);
    await new Promise((resolve) => source.addEventListener("welcome", resolve, {once: true}));
    const body = JSON.stringify({task_type: "patient", content: "by events"});
    const answer = await fetch("/api/jobs", {method: "POST", headers: {"Content-Type": "application/json"}, body});
    return answer.status;
}"""
"""What a page does that has no WebSocket."""


async def test_a_browsers_event_source_comes_back_by_itself_and_misses_nothing(
    browser: Browser, system: System, web: Web
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(web.url + "/asyncapi/docs/")
    assert await page.evaluate(READ_EVENTS) == 202

    async def seen(count: int) -> list[Any]:
        async with asyncio.timeout(DEADLINE / 1000):
            while len(frames := await page.evaluate("window.seen")) < count:
                await asyncio.sleep(0.05)
        return list(frames)

    assert [one["action"] for one in await seen(3)] == ["welcome", "job_queued", "job_started"]
    await asyncio.to_thread(web.kill)
    let_end(system, "by events")
    await broadcast(system, "while it was dead")
    await asyncio.to_thread(web.start)
    all_of_it = await seen(6)
    welcome, again = (one["payload"] for one in all_of_it if one["action"] == "welcome")
    assert again["client_id"] == welcome["client_id"]
    assert again["recovered"] is True
    assert sorted(one["action"] for one in all_of_it[3:]) == ["job_result", "system_notification", "welcome"]
    await context.close()
