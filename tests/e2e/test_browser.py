"""People with browsers: the /system/ page against a whole system."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Locator, WebSocketRoute, expect

from bus import Bus, Settings, SyncBus, SystemNotification, times
from bus.messages import JobCancelled, JobEvent, JobStarted
from testbed.servers import Web, Worker
from testbed.system import System
from tests.e2e.browser import (
    LONGEST_RESULT,
    PHONE,
    ColorScheme,
    broadcast,
    expect_result,
    id_of,
    system_for_pages,
    system_page,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

READABLE = (
    "h2",
    "#connection-text",
    "nav a:not([aria-current])",
    "#task-summary",
    "#task-type",
    "#content",
    "#content-hint",
    "#later summary",
    "#later-hint",
    "#submit-button",
    "#jobs-count",
    ".chip",
    ".chip span",
    "#filter-type",
    ".badge",
    ".job-open",
    ".job-took",
    ".job-acts button:not([hidden])",
    ".job-content",
    ".job-text",
    ".job-id",
    ".facts dt",
    ".facts time",
    ".notice p",
    ".notice time",
    ".notice[data-level=warning] .badge",
    ".notice[data-level=critical] .badge",
    ".banner .badge",
    ".banner p",
    ".banner time",
    ".banner button",
)
SCHEMES: tuple[ColorScheme, ...] = ("light", "dark")
CUT_OFF = """(parts) => parts
    .filter((part) => part.getBoundingClientRect().right > part.closest(".job").getBoundingClientRect().right)
    .map((part) => part.className || part.tagName)"""
"""What is wider than the row that it is in, which shows no more than fits."""
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

# Before the page's module reads it: "interactive" comes before deferred scripts run.
FORGET_LIMIT = """document.addEventListener("readystatechange", () => {
    document.querySelector("#system").dataset.maxFrameBytes = 1e9;
});"""

CLOCK_OF_TOMORROW = "const real = Date.now; Date.now = () => real() + 86400000;"

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


def broadcast_many(system: System, number: int) -> None:
    with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
        for n in range(number):
            bus.broadcast_event(SystemNotification(payload=f"number {n}"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system_for_pages(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture(scope="module", autouse=True)
def worker(system: System) -> Worker:
    return system.worker()


async def test_a_walk_shows_the_result_of_every_type_leaves_no_error_and_breaks_no_policy(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/") as tab:
        assert tab.page.url == web.url + "/system/"
        assert await tab.page.get_by_role("link", name="API").get_attribute("href") == "/asyncapi/docs/"
        for task_type, (content, result) in RESULTS.items():
            await tab.submit(task_type, content)
            await expect(tab.content).to_have_value("")
            await expect_result(tab.job(content), result)
        await expect(tab.page.get_by_text("No jobs yet")).to_be_hidden()
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
        await keyboard.type("gen")
        assert await tab.page.evaluate("document.activeElement.value") == "generate"
        assert await tab.page.evaluate("document.activeElement.matches(':focus-visible')")
        await keyboard.press("Tab")
        await keyboard.type("first line")
        await keyboard.press("Shift+Enter")
        await keyboard.type("second line")
        await keyboard.press("Enter")
        job = tab.job("first line\nsecond line")
        await expect(job.locator(".badge")).to_have_text("Done")
        await expect(job.locator(".job-type")).to_have_text("generate")
        await expect(tab.content).to_be_focused()
        await job.locator(".job-open").press("Enter")
        await expect(job.locator(".job-detail")).to_have_count(0)
        await job.locator(".job-open").press(" ")
        await expect(job.locator(".job-content")).to_have_text("first line\nsecond line")


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
        await expect(tab.page.get_by_role("alert").filter(has_text="too long")).to_contain_text("at most 65536")
        await expect(tab.content).to_have_value(text)
        await expect(tab.jobs).to_have_count(0)
        await tab.expect_connected()
        await tab.content.fill("short")
        await expect(tab.page.locator("#content-error")).to_be_hidden()


async def test_a_job_that_fails_says_why(browser: Browser, web: Web) -> None:
    text = "x" * LONGEST_RESULT
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", text)
        job = tab.job("xxx")
        await expect(job.locator(".badge")).to_have_text("Failed")
        reason = job.locator(".job-reason")
        await expect(reason).to_contain_text(f"at most {LONGEST_RESULT} are allowed")
        await expect(reason).not_to_contain_text("failed")  # which the badge says


async def test_a_job_that_was_not_accepted_can_be_tried_again(browser: Browser, system: System, web: Web) -> None:
    reasons = ["busy", "too_many_bytes"]

    def refusing_at_first(to_page: WebSocketRoute) -> None:
        to_server = to_page.connect_to_server()

        def from_page(frame: str | bytes) -> None:
            asked = json.loads(frame)
            if asked["action"] != "system_message" or not reasons:
                to_server.send(frame)
                return
            item = {"type": reasons.pop(0), "loc": ["system_message"], "msg": f"not now, {len(reasons)} to go"}
            to_page.send(json.dumps({"action": "error", "payload": [item], "ref": asked["ref"]}))

        to_page.on_message(from_page)

    async with system_page(browser, web.url + "/system/", routed=refusing_at_first) as tab:
        await tab.submit("default", "patience")
        job = tab.job("patience")
        await expect(job.locator(".badge")).to_have_text("Not accepted")
        await expect(job.locator(".job-brief")).to_have_text("not now, 1 to go")
        await tab.reload()
        await job.get_by_role("button", name="Try again: patience").click()
        await expect(job.locator(".job-brief")).to_have_text("not now, 0 to go")
        await job.get_by_role("button", name="Try again: patience").click()
        await expect_result(job, "PATIENCE")
        await expect(job.locator(".job-acts button:visible")).to_have_text(["Run again"])
        await expect(tab.jobs).to_have_count(1)


async def test_progress_is_shown_while_a_job_runs_and_the_job_can_be_cancelled(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("patient", "take your time")
        job = tab.job("take your time")
        bar = job.get_by_role("progressbar", name="Progress: take your time")
        await expect(bar).to_have_js_property("value", 0.1)
        await job.get_by_role("button", name="Cancel: take your time").press("Enter")
        await expect(job.locator(".badge")).to_have_text("Cancelled")
        await expect(job.locator(".job-open")).to_be_focused()
        await expect(job.locator(".job-acts button:visible")).to_have_accessible_name("Retry: take your time")
        await expect(job.get_by_role("progressbar")).to_have_count(0)
        await tab.reload()
        await expect(tab.jobs.locator(".badge")).to_have_text("Cancelled")


async def append(system: System, job: Locator, event: JobEvent) -> None:
    """Append an event to a job of the page that nobody works on."""
    await expect(job.locator(".badge")).to_have_text("Queued")
    job_id = await id_of(job)
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        queued = await bus.stream.first(f"bus.client.*.job.{job_id}")
        assert queued is not None
        await bus.stream.append(queued.subject, event.encode().encode(), expected_last=queued.seq)


@pytest.mark.usefixtures("idle")
async def test_a_second_attempt_and_a_cancel_by_others_are_told(browser: Browser, system: System, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "again")
        again = tab.job("again")
        await append(system, again, JobStarted(payload="▶ Job started: default (attempt 2)", attempt=2))
        await expect(again.locator(".job-line")).to_contain_text("attempt 2")
        await tab.submit("default", "called off")
        called_off = tab.job("called off")
        await append(system, called_off, JobCancelled(payload="🚫 Job cancelled"))
        await expect(called_off.locator(".badge")).to_have_text("Cancelled")


async def test_an_event_that_comes_twice_is_shown_once(browser: Browser, system: System, web: Web) -> None:
    def twice(to_page: WebSocketRoute) -> None:
        to_server = to_page.connect_to_server()

        def repeat(frame: str | bytes) -> None:
            to_page.send(frame)
            to_page.send(frame)

        to_server.on_message(repeat)

    async with system_page(browser, web.url + "/system/", routed=twice) as tab:
        await broadcast(system, "first")
        await broadcast(system, "second")
        await expect(tab.notices.first).to_contain_text("second")
        await tab.submit("default", "after")  # its frames come after the repeated ones
        await expect_result(tab.job("after"), "AFTER")
        await expect(tab.jobs).to_have_count(1)
        await expect(tab.notices).to_have_count(2)


async def test_a_close_that_forbids_reconnecting_is_shown_and_obeyed(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/", script=FORGET_LIMIT) as tab:
        await tab.submit("default", "x" * 70_000)
        await expect(tab.connection).to_have_text("Closed")
        closed = tab.page.get_by_role("alert").filter(has_text="the message is too big (code 1009)")
        await closed.get_by_role("button", name="Connect again").click()
        await tab.expect_connected()
        await expect(closed).to_be_hidden()


async def test_old_announcements_make_room(browser: Browser, system: System, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await asyncio.to_thread(broadcast_many, system, 120)
        await expect(tab.notices.first).to_contain_text("number 119")
        await expect(tab.notices).to_have_count(100)


async def test_what_is_critical_stays_in_view_until_it_is_dismissed_or_expires(
    browser: Browser, system: System, web: Web
) -> None:
    def raised(text: str) -> Locator:
        return tab.page.get_by_role("alert").filter(has_text=text)

    async with system_page(browser, web.url + "/system/", viewport=PHONE) as tab:
        over = tab.notices.filter(has_text="soon over")
        await broadcast(system, "soon over", "critical", times.written(datetime.now(UTC) + timedelta(seconds=4)))
        await expect(raised("soon over")).to_contain_text("Critical")
        await expect(over.locator(".badge")).to_have_text("Critical")

        await broadcast(system, "slow today", "warning")
        await expect(tab.notices.filter(has_text="slow today").locator(".badge")).to_have_text("Warning")
        await broadcast(system, "restart", "critical")
        await broadcast(system, "restart", "critical")
        await expect(tab.notices.filter(has_text="restart")).to_have_count(2)
        await expect(raised("restart")).to_have_count(1)
        await expect(raised("slow today")).to_have_count(0)

        await expect(raised("soon over")).to_have_count(0)
        await expect(over).to_have_count(0)
        await tab.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        await expect(raised("restart")).to_be_in_viewport()
        await tab.page.get_by_role("button", name="Dismiss: restart").press("Enter")
        await expect(tab.content).to_be_focused()
        await tab.reload()
        await expect(tab.notices).to_have_count(3)
        await expect(tab.page.locator(".banner")).to_have_count(0)
        assert tab.troubles == []


async def test_a_page_whose_clock_is_wrong_shows_what_has_not_expired(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/", script=CLOCK_OF_TOMORROW) as tab:
        await broadcast(system, "for an hour", "critical", times.written(datetime.now(UTC) + timedelta(hours=1)))
        await expect(tab.notices).to_have_count(1)
        await expect(tab.page.get_by_role("alert")).to_contain_text("for an hour")


async def test_a_phone_scrolls_one_way_and_text_is_readable(browser: Browser, system: System, web: Web) -> None:
    async with system_page(browser, web.url + "/system/", viewport=PHONE) as tab:
        await tab.submit("analyze", LONG_WORD)
        await expect_result(tab.job("Donau"), "Consonants")
        for level in (None, "warning", "critical"):
            await broadcast(system, LONG_WORD, level)
        await expect(tab.notices).to_have_count(3)
        width = await tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"]
        assert await tab.page.locator(".job-detail *").evaluate_all(CUT_OFF) == []
        for scheme in SCHEMES:
            await tab.page.emulate_media(color_scheme=scheme)
            for selector in READABLE:
                contrast = await tab.page.locator(selector).first.evaluate(CONTRAST)
                assert contrast >= 4.5, f"{selector} has a contrast of {contrast:.2f} in {scheme} mode"
