"""The /system/ page in a real browser: headless Chromium, driven as a person would."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    ViewportSize,
    WebSocketRoute,
    async_playwright,
    expect,
)

from bus import Bus, Settings, Stored, SyncBus, SystemNotification, subjects
from bus.messages import Level
from testbed.servers import Web
from testbed.system import System, running
from tests import own_jobs
from tests.e2e import patient

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first one that is there is taken. The headless shell is Chromium without a desktop, at half the CPU."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page that a test has written has no address, so Chromium takes it for one of the internet.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,SpareRendererForSitePerProcess",
    "--renderer-process-limit=1",  # of each context: a process that starts costs more than most tests
)
NO_SOON_RETURN = "Math.random = () => 1e6"
"""For a page: its next attempt to connect is days away, so that only a person makes it before."""
SECRET = "0" * 64
"""A web process with a secret of its own choice is resumed after a restart."""
LONGEST_RESULT = 2000
"""Bytes of a job's result."""
DEADLINE = 30_000.0
"""Milliseconds for anything the page should come to show."""

ColorScheme: TypeAlias = Literal["light", "dark"]
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 740}

LOCAL_TIME = """(ahead) => {
    const time = new Date(Date.now() + ahead * 1000);
    return new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}"""
"""What is typed for a time so many seconds ahead."""

expect.set_options(timeout=DEADLINE)


def executable() -> str:
    """The system's Chromium; without one the test is skipped, or fails where `CI=true`."""
    for name in NAMES:
        if (path := shutil.which(name)) is not None:
            return path
    missing = f"no browser on PATH (looked for {', '.join(NAMES)}); install Chromium to run this test"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser of its own profile, with one context for the tabs of everybody who needs no other.

    It draws no animation, and so has more time for the rest.
    """
    path = executable()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=2 * DEADLINE)
        try:
            everybody = await browser.new_context(reduced_motion="reduce")
            await everybody.new_page()  # is never closed, and so its process serves the tabs that come and go
            yield browser
        finally:
            await browser.close()


@contextmanager
def system_for_pages(directory: Path) -> Iterator[System]:
    """A system whose tokens outlive its web process, with jobs that do as told, and room for short results only."""
    settings = {"BUS_SECRET": SECRET, "BUS_JOB_RESULT_MAX_BYTES": str(LONGEST_RESULT)}
    jobs = own_jobs.install(directory, patient.JOB + own_jobs.HOLDS)
    with running(directory, PYTHONPATH=jobs, **settings) as system:
        yield system


class SystemPage:
    """One tab with the page. Console messages and violations that a person would not see are kept in `troubles`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.set_default_timeout(DEADLINE)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        self.connection = page.locator("#connection-text")
        self.content = page.get_by_label("With which text?")
        self.button = page.get_by_role("button", name="Submit job")
        self.later = page.locator("#later")
        self.jobs = page.locator("#jobs > li")
        self.notices = page.locator("#notices > li")
        self.reconnect_button = page.get_by_role("button", name="Reconnect now")

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.troubles.append(f"{kind}: {text}")

    def job(self, content: str) -> Locator:
        """The job with this content, whose beginning its row shows."""
        return self.jobs.filter(has=self.page.locator(".job-open", has_text=content))

    def chip(self, state: str) -> Locator:
        """The button that shows the jobs of a state alone, with their number; "All" for every state."""
        return self.page.locator("#filter-states button", has_text=re.compile(f"^{state}[0-9]"))

    async def find(self, text: str) -> None:
        """Show only the jobs that say this."""
        await self.page.get_by_label("Search").fill(text)

    def spoken(self, beginning: str) -> Locator:
        """What a screen reader was told that begins so."""
        return self.page.locator("#spoken > p", has_text=re.compile(f"^{re.escape(beginning)}"))

    async def choose(self, task_type: str) -> None:
        await self.page.get_by_label("What should be done?").select_option(task_type)

    async def submit(self, task_type: str, content: str) -> None:
        """Choose, type, press the button."""
        await self.choose(task_type)
        await self.content.fill(content)
        await self.button.click()

    async def submit_later(self, content: str, ahead: float) -> None:
        """Choose, type, unfold what says when, press the button: a job that begins in so many seconds."""
        time = self.page.get_by_label("When should it begin?")
        await self.later.locator("summary").press("Enter")
        await time.evaluate("(input) => { input.step = 1; }")  # so that a test need not wait for the next minute
        await time.fill(await self.page.evaluate(LOCAL_TIME, ahead))
        await self.submit("default", content)

    async def expect_connected(self) -> None:
        await expect(self.connection).to_have_text("Connected")

    async def lose(self, web: Web, *, for_days: bool = False) -> None:
        """Kill the page's server, and wait until the page knows.

        Args:
            for_days: the page's next attempt to connect is so far away that only a person makes it before.
        """
        if for_days:
            await self.page.evaluate(NO_SOON_RETURN)
        web.kill()
        await expect(self.connection).to_contain_text("Reconnecting in")

    async def drop(self) -> None:
        """Lose the connection, so that only a person makes the next one; the server goes on."""
        await self.page.evaluate(NO_SOON_RETURN)
        await self.page.locator("#try-drop").dispatch_event("click")  # in a drawer that may be shut
        await expect(self.connection).to_contain_text("Reconnecting in")

    async def reload(self) -> None:
        await self.page.reload()
        await self.expect_connected()


@asynccontextmanager
async def system_page(
    browser: Browser | BrowserContext,
    url: str,
    *,
    viewport: ViewportSize = DESKTOP,
    color_scheme: ColorScheme = "light",
    routed: Callable[[WebSocketRoute], object] | None = None,
    script: str = "",
) -> AsyncIterator[SystemPage]:
    """Open the page and wait until it is connected, in a tab that is a client of its own: the page remembers by tab.

    Args:
        browser: or the context of a visitor who has more of their own than that, such as a cookie or a time zone.
        routed: what the page's WebSocket goes through.
        script: runs before the page does.
    """
    visitor = browser.contexts[0] if isinstance(browser, Browser) else browser
    async with await visitor.new_page() as page:
        await page.set_viewport_size(viewport)
        await page.emulate_media(color_scheme=color_scheme)
        if routed is not None:
            await page.route_web_socket("**/ws/system", routed)
        if script:
            await page.add_init_script(script)
        tab = SystemPage(page)
        await page.goto(url)
        await tab.expect_connected()
        yield tab


async def client_of(system: System, job: Locator) -> str:
    """The client id of the page that submitted a job."""
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        queued = await bus.stream.first(subjects.any_client(await id_of(job)))
    address = subjects.parse(queued.subject) if queued is not None else None
    assert address is not None
    assert address.client_id is not None
    return address.client_id


async def broadcast(system: System, text: str, level: Level | None = None, expires_at: str | None = None) -> None:
    """Announce something as any other process would."""

    def send() -> None:
        with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
            bus.broadcast_event(SystemNotification(payload=text, level=level, expires_at=expires_at))

    await asyncio.to_thread(send)


async def stored(system: System, action: str, content: str) -> list[Stored]:
    """The events of this action that jobs with this content have, as soon as there is one."""
    async with asyncio.timeout(60), Bus(Settings.load(nats_url=system.nats.url)) as bus:
        while True:
            events = [
                (stored, json.loads(stored.data)) async for stored in bus.stream.replay("bus.client.*.job.*", after=0)
            ]
            jobs = {stored.subject for stored, event in events if event.get("request", {}).get("content") == content}
            if found := [stored for stored, event in events if stored.subject in jobs and event["action"] == action]:
                return found
            await asyncio.sleep(0.05)


async def opened(job: Locator) -> Locator:
    """Show everything about a job, and return that."""
    button = job.locator(".job-open")
    if await button.get_attribute("aria-expanded") == "false":
        await button.press("Enter")
    return job.locator(".job-detail")


async def id_of(job: Locator) -> str:
    """The id of a job that the server has accepted."""
    return await (await opened(job)).locator(".job-id").inner_text()


async def expect_result(job: Locator, text: str) -> None:
    await expect(job.locator(".badge")).to_have_text("Done")
    assert text in (await (await opened(job)).locator(".job-text").inner_text())
