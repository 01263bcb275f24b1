"""The operator's console in a browser: find jobs, see one, do something about many, tell people something."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import nats
import pytest
from playwright.async_api import Browser, Page, expect

from bus import subjects
from testbed.servers import Web
from testbed.system import System, running
from tests import own_jobs
from tests.clients import Frame, client
from tests.e2e import patient
from tests.e2e.browser import DESKTOP, NO_SOON_RETURN, SECRET
from tests.tokens import AUDIENCE, ISSUER, SHARED, token

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

MANY = 2000
"""Jobs in a long list: more than fit into what the page asks for at once, and into what it draws."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory: Path = tmp_path_factory.mktemp("system")
    with running(directory, PYTHONPATH=own_jobs.install(directory, patient.JOB), BUS_SECRET=SECRET) as system:
        system.worker()
        yield system


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_CONSOLE="local")


@asynccontextmanager
async def console(browser: Browser, web: Web, view: str = "") -> AsyncIterator[Page]:
    """The console in a tab of its own, in which nothing goes wrong unseen."""
    page = await browser.contexts[0].new_page()
    await page.set_viewport_size(DESKTOP)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    try:
        await page.goto(f"{web.url}/console/{view}")
        yield page
    finally:
        await page.close()
    assert [trouble for trouble in troubles if "WebSocket connection" not in trouble] == []


async def submitted(web: Web, task_type: str, *contents: str, wait: bool = True) -> tuple[str, list[str]]:
    """A new client's jobs of these contents: the client's id, and theirs."""
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": {}})
        client_id = (await connected.receive())["payload"]["client_id"]
        job_ids, frames = [], list[Frame]()
        for content in contents:
            await connected.submit(task_type, content)
            frames += await connected.receive_until("job_queued")
            job_ids.append(frames[-1]["job_id"])
        # The result of one may have come before the next was accepted.
        while wait and sum(frame["action"] == "job_result" for frame in frames) < len(contents):
            frames += await connected.receive_until("job_result")
        return client_id, job_ids


def rows(page: Page) -> object:
    return page.locator("#job-rows .job-row:not(.job-row-names):not([hidden])")


async def test_jobs_are_found_by_filters_that_the_address_keeps(browser: Browser, web: Web) -> None:
    await submitted(web, "translate", "a red kite", "a blue kite")
    await submitted(web, "analyze", "a red balloon")
    async with console(browser, web) as page:
        await page.get_by_placeholder("Search").fill("RED")
        await expect(page.locator("#jobs-total")).to_have_text("2 jobs")
        await page.locator("#filter-type").select_option("analyze")
        await expect(rows(page)).to_have_count(1)
        await expect(rows(page)).to_contain_text("a red balloon")
        assert "text=RED" in page.url
        await page.reload()
        await expect(rows(page)).to_have_count(1)
        await expect(page.get_by_placeholder("Search")).to_have_value("RED")
        await submitted(web, "analyze", "another red balloon")  # and the list follows what happens
        await expect(rows(page)).to_have_count(2)
        await page.locator("#facets").get_by_text("Failed").click()
        await expect(page.get_by_role("heading", name="No job matches")).to_be_visible()
        await page.go_back()
        await expect(rows(page)).to_have_count(2)


async def test_fields_that_are_filled_at_once_all_count(browser: Browser, web: Web) -> None:
    client_id, _ = await submitted(web, "translate", "a green kite", "a green balloon")
    await submitted(web, "translate", "a green kite")
    async with console(browser, web) as page:
        await page.get_by_placeholder("Search").fill("kite")
        await page.locator("#filter-client").evaluate(
            "(field, id) => { field.value = id; field.dispatchEvent(new Event('input')); }", client_id
        )
        await expect(page.locator("#jobs-total")).to_have_text("1 job")
        await expect(page.get_by_placeholder("Search")).to_have_value("kite")


@pytest.mark.parametrize("address", ["#nonsense", "#constructor", "#__proto__"])
async def test_an_address_that_is_none_shows_the_jobs(browser: Browser, web: Web, address: str) -> None:
    await submitted(web, "translate", "hello")
    async with console(browser, web, address) as page:
        await expect(page.locator("#jobs-total")).to_have_text(re.compile(r"[\d,]+ jobs?"))
        await page.evaluate("location.hash = '#workers'")
        await expect(page.locator("#view-workers")).to_be_visible()


async def test_a_long_list_has_few_elements_and_the_right_rows(browser: Browser, system: System) -> None:
    await store(system, MANY)
    web = system.web(BUS_CONSOLE="local")
    async with console(browser, web, "#jobs?type=stored") as page:
        await expect(page.locator("#jobs-total")).to_contain_text(f"{MANY:,} jobs")
        await page.locator("#job-rows").press("End")
        await expect(page.get_by_text("stored 0", exact=True)).to_be_visible()
        await expect(page.get_by_text("stored 3", exact=True)).to_be_visible()
        assert await rows(page).count() < 100
        await page.locator("#job-rows").evaluate("box => box.scrollTop = box.scrollHeight / 2")
        await expect(page.get_by_text(f"stored {MANY // 2}", exact=True)).to_be_visible()
        await submitted(web, "default", "new")  # leaves these where they are
        await expect(page.get_by_text(f"stored {MANY // 2}", exact=True)).to_be_visible()
        assert await page.locator("#view-jobs *").count() < 2000
    web.stop()


async def test_a_job_is_seen_as_stored_and_as_its_client_sees_it(browser: Browser, web: Web) -> None:
    client_id, [job_id] = await submitted(web, "patient", "30", wait=False)
    async with console(browser, web, f"#job/{quote(client_id)}/{job_id}") as page:
        await expect(page.locator("#job-title")).to_contain_text("Running")
        card = page.locator("#client-side .job")
        await expect(card.locator(".badge")).to_have_text("Running")
        stored = page.locator("#stored-events")
        await expect(stored).to_contain_text("job_started")
        await stored.locator("summary", has_text="job_queued").click()
        await expect(stored.locator(".unshown", has_text="request")).to_be_visible()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.locator("#confirm-yes").click()
        await expect(page.locator("#job-title")).to_contain_text("Cancelled")
        await expect(card.locator(".badge")).to_have_text("Cancelled")
        await page.locator("#job-retry").click()
        await page.locator("#job-new a").click()
        await expect(page.locator("#job-facts")).to_contain_text(job_id)  # of which it is a retry
        await expect(page.locator("#job-title")).to_contain_text("Running")
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.locator("#confirm-yes").click()
        await expect(page.locator("#job-title")).to_contain_text("Cancelled")


async def test_all_that_match_are_cancelled_once_that_was_confirmed(browser: Browser, web: Web) -> None:
    client_id, _ = await submitted(web, "patient", *["30"] * 8, wait=False)
    async with console(browser, web, f"#jobs?client={quote(client_id)}") as page:
        await expect(rows(page)).to_have_count(8)
        await page.get_by_role("button", name="Cancel all 8").click()
        dialog = page.locator("#confirm")
        await expect(dialog).to_contain_text("8")
        await expect(dialog).to_contain_text(client_id)
        await dialog.get_by_role("button", name="Leave as it is").click()
        await expect(page.locator("#facets")).not_to_contain_text(re.compile(r"Cancelled\s*8"))
        await page.get_by_role("button", name="Cancel all 8").click()
        await page.locator("#confirm-yes").click()
        await expect(page.locator("#acting-text")).to_contain_text("8")
        await expect(page.locator("#job-rows .badge", has_text="Cancelled")).to_have_count(8)


async def test_an_announcement_looks_as_its_preview_did(browser: Browser, web: Web) -> None:
    async with console(browser, web, "#announce") as page:
        await page.locator("#announce-text").fill("Restart at noon")
        await page.get_by_text("Warning").click()
        preview = page.locator("#preview")
        await expect(preview).to_contain_text("Restart at noon")
        before = await preview.locator("[data-level=warning]").first.inner_text()
        people = await browser.new_page()
        await people.goto(web.url + "/system/")
        await expect(people.locator("#connection-text")).to_have_text("Connected")
        await page.locator("#announce-button").click()
        if await page.locator("#confirm").is_visible():
            await page.locator("#confirm-yes").click()
        await expect(page.locator("#notices")).to_contain_text("Restart at noon")
        shown = people.locator("#notices [data-level=warning]")
        await expect(shown).to_contain_text("Restart at noon")
        assert without_times(await shown.inner_text()) == without_times(before)
        await people.close()


async def test_processes_and_stream_are_told(browser: Browser, web: Web) -> None:
    async with console(browser, web, "#workers") as page:
        await expect(page.locator("#workers")).to_contain_text("of 2 in use")
        await page.get_by_role("link", name="Web", exact=True).click()
        await page.locator("#web").get_by_role("link").or_(page.locator("#web").get_by_role("button")).first.click()
        await expect(page.locator("#connections-list")).to_contain_text("bus.v1")
        await page.get_by_role("link", name="Stream", exact=True).click()
        await expect(page.locator("#stream")).to_contain_text("Kept for1 d")
        await expect(page.locator("#faults")).to_be_hidden()


async def test_a_console_that_lost_its_server_says_so_and_goes_on(browser: Browser, system: System) -> None:
    web = system.web(BUS_CONSOLE="local")
    async with console(browser, web) as page:
        await expect(page.locator("#connection-text")).to_have_text("Connected")
        await expect(page.locator("#jobs-total")).to_have_text(re.compile("[1-9][0-9]* jobs?"))
        await page.evaluate(NO_SOON_RETURN)
        web.kill()
        await expect(page.locator("#offline")).to_contain_text("Not connected")
        await expect(rows(page).first).to_be_visible()
        web.start()
        await page.get_by_role("button", name="Reconnect now").click()
        await expect(page.locator("#offline")).to_be_hidden()
        await submitted(web, "default", "after the outage")
        await expect(rows(page).first).to_contain_text("after the outage")
    web.stop()


async def test_who_is_no_operator_is_told_what_is_needed_and_may_bring_it(browser: Browser, system: System) -> None:
    jwt = {"BUS_AUTH": "jwt", "BUS_AUTH_SECRET": SHARED, "BUS_AUTH_ISSUER": ISSUER, "BUS_AUTH_AUDIENCE": AUDIENCE}
    web = system.web(**jwt)
    async with console(browser, web) as page:
        await expect(page.get_by_role("heading", name="Sign in as an operator")).to_be_visible()
        await page.locator("#sign-in-token").fill(token())
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="This is for operators")).to_be_visible()
        await expect(page.locator("#views")).to_be_hidden()
        await page.locator("#sign-in-token").fill(token(role="operator"))
        await page.get_by_role("button", name="Sign in").click()
        await expect(rows(page).first).to_be_visible()
        await page.reload()  # the tab keeps it
        await expect(rows(page).first).to_be_visible()
    web.stop()


def without_times(text: str) -> str:
    return re.sub(r"\d+:\d+:\d+\s?[AP]?M?", "", text).strip()


async def store(system: System, number: int) -> None:
    """Store so many jobs that have ended, as a worker would have."""
    connection = await nats.connect(system.nats.url)
    stream = connection.jetstream(publish_async_max_pending=2 * number)
    pending = []
    for n in range(number):
        subject = subjects.job(f"client-{n % 7}", f"stored-{n}")
        request = {"task_type": "stored", "job_type": "stored", "content": f"stored {n}"}
        for frame in (
            {"action": "job_queued", "payload": "…", "request": request},
            {"action": "job_result", "payload": f"result {n}", "task_type": "stored", "attempt": 1},
        ):
            pending.append(await stream.publish_async(subject, json.dumps(frame).encode()))
        if len(pending) > 1000:
            await asyncio.gather(*pending)
            pending.clear()
    await asyncio.gather(*pending)
    await connection.close()
