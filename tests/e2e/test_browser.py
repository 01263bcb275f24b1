"""People with browsers: the /system/ page against a whole system."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Locator, WebSocketRoute, expect

from bus import Bus, Settings, Stored, SyncBus, SystemNotification
from bus.messages import JobCancelled, JobStarted
from testbed.servers import System, Web
from tests.e2e.browser import chromium, system_page

READABLE = (
    "h2",
    "#connection-text",
    "nav a:not([aria-current])",
    ".choice-summary",
    "#content",
    "#content-hint",
    "#submit-button",
    ".badge",
    ".job-content",
    ".job-text",
    ".job-id code",
    ".job time",
    ".notice p",
    ".notice time",
)
SECRET = "0" * 64
"""A web process with a secret of its own choice is resumed after a restart."""
PHONE = {"width": 375, "height": 740}
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitän" * 8
MARKUP = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"

RESULTS = {
    "translate": ("hello", "🌍 Translated: 'hello' → 'hola'"),
    "analyze": (
        "one two",
        "📊 Analysis of 'one two':\n• Characters: 7\n• Words: 2\n• Vowels: 3\n• Consonants: 3",
    ),
    "generate": ("what about the weather", "🤖 AI Response to 'what about the weather':\n"),
    "default": ("shout", "✅ Processed: SHOUT"),
}

RECORD_PHASES = """() => {
    window.phases = [];
    const jobs = document.querySelector("#jobs");
    const note = () => jobs.querySelectorAll(".badge").forEach((badge) => {
        if (window.phases.at(-1) !== badge.textContent) window.phases.push(badge.textContent);
    });
    new MutationObserver(note).observe(jobs, {subtree: true, childList: true, attributes: true});
}"""

# Before the page's module reads it: "interactive" comes before deferred scripts run.
FORGET_LIMIT = """document.addEventListener("readystatechange", () => {
    document.querySelector("#system").dataset.maxFrameBytes = 1e9;
});"""

CONTRAST = """(element) => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const linear = (channel) => channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    const luminance = (color) => {
        const [red, green, blue] = channels(color).map((channel) => linear(channel / 255));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    let behind = element;
    while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""
"""WCAG 2.2 contrast ratio of an element's text with the nearest background behind it."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def broadcast(system: System, text: str) -> None:
    """Announce something as any other process would."""

    def send() -> None:
        with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
            bus.broadcast_event(SystemNotification(payload=text))

    await asyncio.to_thread(send)


def broadcast_many(system: System, number: int) -> None:
    with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
        for n in range(number):
            bus.broadcast_event(SystemNotification(payload=f"number {n}"))


async def shown_at(item: Locator) -> str | None:
    return await item.locator("time").get_attribute("datetime")


async def stored(system: System, action: str) -> list[Stored]:
    """The job events of this action, as soon as there is one."""
    async with asyncio.timeout(60), Bus(Settings.load(nats_url=system.nats.url)) as bus:
        while True:
            events = [stored async for stored in bus.stream.replay("bus.client.*.job.*", after=0)]
            if found := [event for event in events if json.loads(event.data)["action"] == action]:
                return found
            await asyncio.sleep(0.05)


async def expect_result(job: Locator, text: str) -> None:
    await expect(job.locator(".badge")).to_have_text("Done")
    assert text in (await job.locator(".job-text").inner_text())


async def test_the_root_leads_to_the_page_and_the_page_to_the_api(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/") as tab:
        assert tab.page.url == web.url + "/system/"
        assert await tab.page.get_by_role("link", name="API").get_attribute("href") == "/asyncapi/docs/"


@pytest.mark.parametrize("task_type", RESULTS)
async def test_a_job_of_every_type_is_queued_and_then_shows_its_result(
    browser: Browser, web: Web, task_type: str
) -> None:
    content, result = RESULTS[task_type]
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.page.evaluate(RECORD_PHASES)
        await tab.submit(task_type, content)
        await expect_result(tab.job(content), result)
        phases = await tab.page.evaluate("phases")
        assert [phase for phase in phases if phase in ("Queued", "Done")] == ["Queued", "Done"]
        await expect(tab.content).to_have_value("")
        await expect(tab.page.get_by_text("No jobs yet")).to_be_hidden()


async def test_a_normal_walk_leaves_no_error_and_breaks_no_policy(browser: Browser, system: System, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "quiet")
        await expect_result(tab.job("quiet"), "QUIET")
        await broadcast(system, "a quiet announcement")
        await expect(tab.notices).to_have_count(1)
        assert tab.troubles == []


async def test_two_visitors_see_their_own_jobs_and_both_see_an_announcement(
    browser: Browser, system: System, web: Web
) -> None:
    async with (
        system_page(browser, web.url + "/system/") as ada,
        system_page(browser, web.url + "/system/") as grace,
    ):
        await asyncio.gather(ada.submit("default", "from ada"), grace.submit("default", "from grace"))
        await expect_result(ada.job("from ada"), "FROM ADA")
        await expect_result(grace.job("from grace"), "FROM GRACE")
        await broadcast(system, "Server restart in 5 minutes")
        for tab in (ada, grace):
            await expect(tab.notices).to_have_count(1)
            await expect(tab.notices.first).to_contain_text("Server restart in 5 minutes")
            await expect(tab.notices.first.locator("time")).not_to_be_empty()
            await expect(tab.jobs).to_have_count(1)


async def test_a_keyboard_is_enough(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        keyboard = tab.page.keyboard
        await expect(tab.content).to_be_focused()
        await keyboard.press("Shift+Tab")
        await keyboard.press("ArrowDown")
        chosen = await tab.page.evaluate("document.activeElement.value")
        assert chosen == await tab.page.locator("input:checked").get_attribute("value")
        assert await tab.page.evaluate("document.activeElement.matches(':focus-visible')")
        await keyboard.press("Tab")
        await keyboard.type("first line")
        await keyboard.press("Shift+Enter")
        await keyboard.type("second line")
        await keyboard.press("Enter")
        job = tab.job("first line\nsecond line")
        await expect(job.locator(".badge")).to_have_text("Done")
        await expect(job.locator(".job-type")).to_have_text(chosen)
        await expect(tab.content).to_be_focused()


async def test_markup_is_shown_as_text(browser: Browser, system: System, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        title = await tab.page.title()
        await tab.submit("translate", MARKUP)
        await expect_result(tab.job(MARKUP), f"[TRANSLATED: {MARKUP}]")
        await broadcast(system, MARKUP)
        await expect(tab.notices.first).to_contain_text(MARKUP)
        assert await tab.page.locator("#jobs img, #jobs b, #notices img, #notices b").count() == 0
        assert await tab.page.title() == title
        assert tab.troubles == []


async def test_a_text_over_the_limit_is_refused_by_the_page_and_kept(browser: Browser, web: Web) -> None:
    text = "ä" * 32_768
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", text)
        await expect(tab.page.get_by_role("alert").filter(has_text="too long")).to_contain_text("at most 65,536")
        await expect(tab.content).to_have_value(text)
        await expect(tab.jobs).to_have_count(0)
        await tab.expect_connected()
        await tab.content.fill("short")
        await expect(tab.page.locator("#content-error")).to_be_hidden()


async def test_a_job_that_fails_says_why(browser: Browser, fresh: System) -> None:
    fresh.worker(BUS_JOB_RESULT_MAX_BYTES="30")
    web = fresh.web()
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", LONG_WORD)
        job = tab.job(LONG_WORD)
        await expect(job.locator(".badge")).to_have_text("Failed")
        await expect(job.locator(".job-text")).to_contain_text("at most 30 are allowed")


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


async def test_a_job_that_was_not_accepted_says_why_until_it_proves_to_be_stored(
    browser: Browser, fresh: System
) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    async with system_page(browser, web.url + "/system/") as tab:
        fresh.nats.pause()
        await tab.submit("default", "late")
        job = tab.job("late")
        await expect(job.locator(".badge")).to_have_text("Not accepted")
        await expect(job.locator(".job-text")).not_to_be_empty()
        await tab.expect_connected()
        fresh.nats.resume()  # which reads now what it was sent
        await expect(job.locator(".badge")).to_have_text("Queued")
        await expect(job.get_by_role("button")).to_have_text(["Cancel"])


async def test_a_job_that_was_not_accepted_can_be_tried_again(browser: Browser, system: System, web: Web) -> None:
    refused = []

    def busy_at_first(to_page: WebSocketRoute) -> None:
        to_server = to_page.connect_to_server()

        def from_page(frame: str | bytes) -> None:
            asked = json.loads(frame)
            if asked["action"] != "system_message" or refused:
                to_server.send(frame)
                return
            refused.append(asked)
            item = {"type": "busy", "loc": ["system_message"], "msg": "too many jobs wait"}
            to_page.send(json.dumps({"action": "error", "payload": [item], "ref": asked["ref"]}))

        to_page.on_message(from_page)

    async with await browser.new_context() as visitor:
        await visitor.route_web_socket("**/ws/system", busy_at_first)
        async with system_page(visitor, web.url + "/system/") as tab:
            await tab.submit("default", "patience")
            job = tab.job("patience")
            await expect(job.locator(".badge")).to_have_text("Not accepted")
            await expect(job.locator(".job-text")).to_have_text("too many jobs wait")
            await tab.page.reload()
            await tab.expect_connected()
            await job.get_by_role("button", name="Try again: patience").click()
            await expect_result(job, "PATIENCE")
            await expect(job.get_by_role("button")).to_have_count(0)
            await expect(tab.jobs).to_have_count(1)


async def test_progress_is_shown_while_a_job_runs_and_the_job_can_be_cancelled(browser: Browser, fresh: System) -> None:
    fresh.worker(BUS_JOB_DELAY_SCALE="30")
    web = fresh.web(BUS_SECRET=SECRET)
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("generate", "take your time")
        job = tab.job("take your time")
        bar = job.get_by_role("progressbar", name="Progress: take your time")
        await expect(bar).to_have_js_property("value", 0.1)
        await job.get_by_role("button", name="Cancel: take your time").press("Enter")
        await expect(job.locator(".badge")).to_have_text("Cancelled")
        await expect(job).to_be_focused()
        await expect(job.get_by_role("button")).to_have_count(0)
        await expect(job.get_by_role("progressbar")).to_have_count(0)
        await tab.page.reload()
        await tab.expect_connected()
        await expect(tab.jobs.locator(".badge")).to_have_text("Cancelled")


async def test_a_cancel_that_did_not_arrive_is_sent_again(browser: Browser, fresh: System) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "called off")
        job = tab.job("called off")
        await expect(job.locator(".badge")).to_have_text("Queued")
        web.kill()
        await expect(tab.connection).to_contain_text("Reconnecting in")
        await job.get_by_role("button", name="Cancel").click()
        await expect(job.get_by_role("button", name="Cancelling…")).to_be_visible()
        await asyncio.to_thread(web.start)
        await expect(job.locator(".badge")).to_have_text("Cancelled")


async def test_a_second_attempt_is_told(browser: Browser, fresh: System) -> None:
    web = fresh.web(BUS_SECRET=SECRET)
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "again")
        job = tab.job("again")
        await expect(job.locator(".badge")).to_have_text("Queued")
        async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus:
            queued = await bus.stream.first("bus.client.*.job.*")
            assert queued is not None
            started = JobStarted(payload="▶ Job started: default (attempt 2)", attempt=2)
            await bus.stream.append(queued.subject, started.encode().encode(), expected_last=queued.seq)
        await expect(job.locator(".job-head")).to_contain_text("attempt 2")


async def test_a_cancelled_job_says_so(browser: Browser, fresh: System) -> None:
    web = fresh.web()
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "called off")
        job = tab.job("called off")
        await expect(job.locator(".badge")).to_have_text("Queued")
        job_id = await job.locator("code").inner_text()
        async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus:
            queued = await bus.stream.first(f"bus.client.*.job.{job_id}")
            assert queued is not None
            cancelled = JobCancelled(payload="🚫 Job cancelled", job_id=job_id)
            await bus.stream.append(queued.subject, cancelled.encode().encode(), expected_last=queued.seq)
        await expect(job.locator(".badge")).to_have_text("Cancelled")


async def test_an_event_that_comes_twice_is_shown_once(browser: Browser, system: System, web: Web) -> None:
    def twice(to_page: WebSocketRoute) -> None:
        to_server = to_page.connect_to_server()

        def repeat(frame: str | bytes) -> None:
            to_page.send(frame)
            to_page.send(frame)

        to_server.on_message(repeat)

    async with await browser.new_context() as visitor:
        await visitor.route_web_socket("**/ws/system", twice)
        async with system_page(visitor, web.url + "/system/") as tab:
            await broadcast(system, "first")
            await broadcast(system, "second")
            await expect(tab.notices.first).to_contain_text("second")
            await tab.submit("default", "after")  # its frames come after the repeated ones
            await expect_result(tab.job("after"), "AFTER")
            await expect(tab.jobs).to_have_count(1)
            await expect(tab.notices).to_have_count(2)


async def test_a_close_that_forbids_reconnecting_is_shown_and_obeyed(browser: Browser, web: Web) -> None:
    async with await browser.new_context() as visitor:
        await visitor.add_init_script(FORGET_LIMIT)
        async with system_page(visitor, web.url + "/system/") as tab:
            await tab.submit("default", "x" * 70_000)
            await expect(tab.connection).to_contain_text("the message is too big (code 1009)")
            await expect(tab.button).to_be_disabled()
            await tab.page.get_by_role("button", name="Reconnect now").click()
            await tab.expect_connected()


async def test_old_announcements_make_room(browser: Browser, system: System, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await asyncio.to_thread(broadcast_many, system, 120)
        await expect(tab.notices.first).to_contain_text("number 119")
        await expect(tab.notices).to_have_count(100)


async def test_old_jobs_make_room(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.page.evaluate(
            """() => {
                const content = document.querySelector("#content");
                for (let n = 0; n < 210; n += 1) {
                    content.value = `number ${n}.`;
                    content.form.requestSubmit();
                }
            }"""
        )
        await expect(tab.jobs).to_have_count(200)
        await expect(tab.jobs.filter(has_text="Done")).to_have_count(200)
        await expect(tab.job("number 209.")).to_have_count(1)
        await expect(tab.page.locator("#jobs-count")).to_have_text("0 open, 200 ended")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_scrolls_one_way_and_text_is_readable(
    browser: Browser, system: System, web: Web, scheme: str
) -> None:
    async with system_page(browser, web.url + "/system/", viewport=PHONE, color_scheme=scheme) as tab:
        await tab.submit("analyze", LONG_WORD)
        await expect_result(tab.job(LONG_WORD), "Consonants")
        await broadcast(system, LONG_WORD)
        await expect(tab.notices).to_have_count(1)
        width = await tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"]
        for selector in READABLE:
            contrast = await tab.page.locator(selector).first.evaluate(CONTRAST)
            assert contrast >= 4.5, f"{selector} has a contrast of {contrast:.2f} in {scheme} mode"
