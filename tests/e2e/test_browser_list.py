"""The list of jobs on the /system/ page: a thousand of them, found again, folded, copied, saved; and its size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, ViewportSize, expect

from bus import Bus, Settings, job_log
from bus.job_log import JobRequest
from testbed.servers import Web, Worker
from testbed.system import System, running
from tests import own_jobs
from tests.e2e.browser import (
    DESKTOP,
    PHONE,
    ColorScheme,
    SystemPage,
    broadcast,
    client_of,
    expect_result,
    opened,
    system_page,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

AXE = Path(__file__).parents[1] / "axe/node_modules/axe-core/axe.min.js"
MANY = 1000
PER_PAGE = 50
MOST_TRANSFERRED = 60_000
"""Bytes of page, style and scripts, compressed as they travel."""

JOBS = """
from collections.abc import Iterator
from workers.registry import job, JobContext

@job
def table(content: str, job: JobContext) -> str:
    "Write so many lines."
    return "\\n".join(f"line {n}" for n in range(int(content)))

@job
def fails(content: str, job: JobContext) -> str:
    "Fail."
    raise ValueError("there is no ink")
"""

TRANSFERRED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .map(({name, encodedBodySize, transferSize}) => [new URL(name).pathname, encodedBodySize, transferSize])"""
NAMED = """() => [...document.querySelectorAll("link[rel=modulepreload], script")]
    .map(({href, src}) => new URL(href ?? src).pathname)"""
"""The scripts that the page's own markup names."""

RECORD_NOTIFICATIONS = """
window.shown = [];
window.Notification = class extends EventTarget {
    static permission = "default";
    static requestPermission = async () => (Notification.permission = window.answer ?? "granted");
    constructor(title, {body}) { super(); window.shown.push(`${title}: ${body}`); }
};
"""
SEARCH = """(field, text) => {
    field.value = text;
    field.dispatchEvent(new Event("input", {bubbles: true}));
}"""
UNCOVERED = """(element) => {
    const { left, top, height } = element.getBoundingClientRect();
    return document.elementFromPoint(left + 2, top + height / 2) === element;
}"""
HIDE = "Object.defineProperty(document, 'hidden', {get: () => true})"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("system")
    with running(directory, PYTHONPATH=own_jobs.install(directory, JOBS)) as system:
        yield system


@pytest.fixture(scope="module", autouse=True)
def worker(system: System) -> Worker:
    return system.worker()


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web()


async def add_ended(system: System, client_id: str, count: int) -> None:
    """Store so many jobs of a client, with their results."""
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:

        async def one(number: int) -> None:
            request = JobRequest(task_type="default", job_type="default", content=f"number {number}.")
            queued = await job_log.create(bus.stream, client_id, request, job_id=job_log.new_job_id(), waits=False)
            await job_log.finish(bus.stream, queued, f"result {number}")

        for first in range(0, count, 100):
            await asyncio.gather(*(one(number) for number in range(first, first + 100)))


def contents(tab: SystemPage) -> Locator:
    return tab.page.locator("#jobs .job-open")


async def test_a_thousand_jobs_are_a_page_long_and_each_can_be_found(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await expect(tab.page.get_by_text("No jobs yet")).to_be_visible()
        await tab.submit("default", "the first")
        await expect_result(tab.job("the first"), "THE FIRST")
        await add_ended(system, await client_of(system, tab.job("the first")), MANY)
        await expect(tab.chip("All")).to_have_text("All1,000")  # the oldest made room
        await expect(tab.jobs).to_have_count(PER_PAGE)
        assert await tab.page.evaluate("document.documentElement.scrollHeight") < 3500
        heights = await tab.jobs.evaluate_all("(rows) => rows.map((row) => Math.round(row.offsetHeight))")
        assert max(heights) - min(heights) <= 1, heights  # the border

        await expect(tab.page.locator("#pages-text")).to_have_text("1 to 50 of 1,000")
        await tab.page.get_by_role("button", name="Older").click()
        await expect(tab.page.locator("#pages-text")).to_have_text("51 to 100 of 1,000")
        assert await tab.page.locator("#jobs-title").evaluate(UNCOVERED)  # by what stays at the top
        await tab.find("RESULT 77")
        await expect(tab.page.locator("#jobs-count")).to_have_text("11 of 1,000 jobs")
        await tab.find("nothing like it")
        await tab.page.get_by_role("button", name="Show all jobs").click()
        await expect(tab.jobs).to_have_count(PER_PAGE)
        assert tab.troubles == []


async def test_what_is_submitted_is_in_view_at_once_whatever_was_looked_at(browser: Browser, web: Web) -> None:
    for viewport in (PHONE, DESKTOP):
        async with system_page(browser, web.url + "/system/", viewport=viewport) as tab:
            await tab.submit("fails", "not this one")
            await expect(tab.chip("Failed")).to_have_text("Failed1")
            await tab.chip("Failed").click()
            await tab.submit("table", "40")
            await expect(tab.job("40").locator(".job-line")).to_be_in_viewport()
            await expect(tab.chip("All")).to_have_attribute("aria-pressed", "true")
            await expect(tab.jobs).to_have_count(2)


async def test_jobs_are_found_by_state_type_and_text(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        for task_type, content in (("default", "red"), ("fails", "green"), ("default", "blue")):
            await tab.submit(task_type, content)
        await expect(tab.chip("Done")).to_have_text("Done2")
        await expect(contents(tab)).to_have_text(["blue", "green", "red"])
        await tab.chip("Done").click()
        await expect(contents(tab)).to_have_text(["blue", "red"])
        await tab.find("RED")
        await expect(contents(tab)).to_have_text(["red"])
        await tab.find("")
        await tab.chip("All").click()
        await tab.page.get_by_label("Type", exact=True).select_option("fails")
        await expect(contents(tab)).to_have_text(["green"])
        await expect(tab.jobs.locator(".job-brief")).to_have_text("ValueError: there is no ink")
        await tab.page.get_by_label("Type", exact=True).select_option("")
        await tab.chip("Failed").click()
        await tab.jobs.get_by_role("button", name="Retry").press("Enter")  # shows all, and the new one above
        await expect(tab.chip("Failed")).to_have_text("Failed2")
        await tab.chip("Done").click()
        await tab.job("red").locator(".job-open").focus()
        await tab.page.get_by_label("Search").evaluate(SEARCH, "blue")  # as what happens elsewhere takes a row away
        await expect(contents(tab)).to_have_text(["blue"])
        await expect(tab.job("blue").locator(".job-open")).to_be_focused()


async def test_what_runs_comes_first_and_what_is_read_stays_where_it_is(
    browser: Browser, web: Web, worker: Worker
) -> None:
    worker.pause()
    try:
        async with system_page(browser, web.url + "/system/") as tab:
            await tab.submit("default", "older")
            await expect(tab.job("older").locator(".badge")).to_have_text("Queued")
            await tab.submit("default", "newer")
            await expect(tab.job("newer").locator(".badge")).to_have_text("Queued")
            await expect(tab.job("older").locator(".job-detail")).to_have_count(0)  # it made room for the newer one
            await opened(tab.job("newer"))
            worker.resume()
            await expect(tab.chip("Done")).to_have_text("Done2")
            await expect(contents(tab)).to_have_text(["newer", "older"])
            await tab.reload()
            await expect(tab.job("newer").locator(".job-detail")).to_be_visible()
    finally:
        worker.resume()


async def test_a_long_result_is_folded_and_can_be_copied_and_saved(browser: Browser, web: Web) -> None:
    async with await browser.new_context(viewport=DESKTOP) as visitor:
        await visitor.grant_permissions(["clipboard-read", "clipboard-write"])
        async with system_page(visitor, web.url + "/system/") as tab:
            await tab.submit("table", "300")
            job = tab.job("300")
            await expect_result(job, "line 299")
            text = job.locator(".job-text")
            whole = "\n".join(f"line {number}" for number in range(300))
            folded = await text.evaluate("(box) => box.offsetHeight")
            assert folded < 300
            assert "mono" in (await text.evaluate("(box) => getComputedStyle(box).fontFamily")).lower()
            await job.get_by_role("button", name="Show all 300 lines").click()
            assert await text.evaluate("(box) => box.offsetHeight") > 10 * folded
            await job.get_by_role("button", name="Show less").click()
            await job.locator(".long-head").first.get_by_role("button", name="Copy").click()
            await expect(job.get_by_role("button", name="Copied")).to_be_visible()
            assert await tab.page.evaluate("navigator.clipboard.readText()") == whole
            async with tab.page.expect_download() as saving:
                await job.get_by_role("button", name="Download").click()
            saved = await saving.value
            assert saved.suggested_filename.startswith("job-")
            assert await asyncio.to_thread(Path(await saved.path()).read_text) == whole


async def test_a_job_that_is_done_can_be_run_again(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.submit("default", "once more")
        await tab.job("once more").get_by_role("button", name="Run again: once more").click()
        await expect(tab.chip("Done")).to_have_text("Done2")
        await expect(tab.job("once more")).to_have_count(2)


async def test_a_draft_and_the_chosen_type_survive_a_reload(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.choose("table")
        await tab.content.fill("half a thou")
        await tab.reload()
        await expect(tab.page.get_by_label("What should be done?")).to_have_value("table")
        await expect(tab.page.locator("#task-summary")).to_have_text("Write so many lines.")
        await expect(tab.content).to_have_value("half a thou")


async def test_links_lead_on_safely_and_long_announcements_unfold(browser: Browser, system: System, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await broadcast(system, "see https://example.com/a?b=1. or javascript:alert(1)")
        link = tab.notices.first.get_by_role("link")
        await expect(link).to_have_count(1)
        await expect(link).to_have_attribute("href", "https://example.com/a?b=1")
        await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
        await broadcast(system, "a long story " * 100)
        await expect(tab.notices).to_have_count(2)
        text = tab.notices.first.locator("p")
        folded = await text.evaluate("(text) => text.offsetHeight")
        await tab.notices.first.get_by_role("button", name="Show all").click()
        assert await text.evaluate("(text) => text.offsetHeight") > 2 * folded


async def test_who_allows_it_gets_announcements_from_the_system_while_the_tab_is_away(
    browser: Browser, system: System, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/", script=RECORD_NOTIFICATIONS) as tab:
        notify = tab.page.get_by_role("button", name="Notify me")
        await tab.page.evaluate("window.answer = 'denied'")
        await notify.click()
        await expect(tab.page.get_by_text("Your browser does not allow it")).to_be_visible()
        await tab.page.evaluate("window.answer = 'granted'")
        await notify.click()
        await expect(notify).to_have_attribute("aria-pressed", "true")
        await broadcast(system, "seen in the page")
        await expect(tab.notices).to_have_count(1)
        await tab.page.evaluate(HIDE)
        await broadcast(system, "heard outside", "critical")
        await expect(tab.notices).to_have_count(2)
        assert await tab.page.evaluate("shown") == ["Critical: heard outside"]


async def test_the_drawer_shows_frames_and_drops_the_connection_from_which_the_page_comes_back(
    browser: Browser, web: Web
) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        await tab.page.locator("#frames").evaluate("(list) => { list.style.fontSize = '6rem'; }")  # they do not all fit
        await tab.page.get_by_role("button", name="Under the hood").click()
        frames = tab.page.locator("#frames > li")
        await expect(frames.filter(has_text="welcome")).to_have_count(1)  # those from before it was opened, too
        await tab.page.evaluate("Math.random = () => 1e6")  # so that it is a person who reconnects
        await tab.page.evaluate("Object.defineProperty(navigator, 'onLine', {get: () => false})")
        await tab.page.get_by_role("button", name="Drop the connection").click()
        await expect(tab.connection).to_contain_text("Offline, next try in")
        await tab.submit("default", "meanwhile")
        await tab.reconnect_button.click()
        await expect_result(tab.job("meanwhile"), "MEANWHILE")
        result = frames.filter(has_text="job_result")
        await expect(result).to_be_in_viewport()  # the list follows, though what was said above it took its room
        await result.locator("summary").click()
        await expect(result.locator("pre")).not_to_be_empty()  # which it is until the browser tells that it is open
        frame: Any = json.loads(await result.locator("pre").inner_text())
        assert frame["payload"] == "✅ Processed: MEANWHILE"
        await tab.page.get_by_role("button", name="Pause").click()
        await tab.submit("default", "unseen")
        await expect_result(tab.job("unseen"), "UNSEEN")
        await expect(frames.filter(has_text="job_result")).to_have_count(1)
        assert await tab.page.get_by_role("button", name="Kill a worker").count() == 0
        await tab.page.get_by_role("button", name="Reload the page").click()
        await tab.expect_connected()
        await expect(tab.page.get_by_role("button", name="Drop the connection")).to_be_visible()
        await tab.page.keyboard.press("Escape")
        await expect(tab.page.get_by_role("button", name="Under the hood")).to_be_focused()


async def test_the_page_is_small_names_all_that_it_loads_and_asks_for_it_once(browser: Browser, web: Web) -> None:
    async with system_page(browser, web.url + "/system/") as tab:
        parts = await tab.page.evaluate(TRANSFERRED)
        assert sum(encoded for _, encoded, _ in parts) < MOST_TRANSFERRED, parts
        scripts = {path for path, _, _ in parts if path.endswith(".js")}
        assert scripts == set(await tab.page.evaluate(NAMED))
        assert {Path(path).name for path in scripts} >= {"system.js", "index.js"}
        await tab.reload()
        asked = [path for path, _, transferred in await tab.page.evaluate(TRANSFERRED) if transferred]
        assert asked == ["/system/"]


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there; `make axe` fetches it (needs npm)")
@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")])
async def test_nothing_shuts_people_out(
    browser: Browser, system: System, web: Web, viewport: ViewportSize, scheme: ColorScheme
) -> None:
    async with system_page(browser, web.url + "/system/", viewport=viewport, color_scheme=scheme) as tab:
        await tab.page.evaluate(AXE.read_text())

        async def violations() -> list[str]:
            found = await tab.page.evaluate("axe.run()")
            return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found["violations"]]

        if viewport is DESKTOP:
            assert await violations() == []
        await tab.submit("table", "100")
        await expect_result(tab.job("100"), "line 99")
        await tab.submit("fails", "soon")
        for level in (None, "warning", "critical"):
            await broadcast(system, "look at https://example.com/", level)  # type: ignore[arg-type]
        await expect(tab.notices).to_have_count(3)
        await tab.page.get_by_role("button", name="Under the hood").click()
        assert await violations() == []
        assert tab.troubles == []
