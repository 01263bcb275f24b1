"""The page of the API in a browser: found, unfolded, copied, and tried on the live socket; and its session, spoken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from bus import Bus, Settings, subjects
from quart_app.web.asyncapi.session import sessions
from testbed.servers import Web, Worker
from testbed.system import System, running
from tests import own_jobs, typed_jobs
from tests.clients import client
from tests.e2e.browser import SECRET, broadcast
from tests.e2e.conversation import Conversation

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

AXE = Path(__file__).parents[1] / "axe/node_modules/axe-core/axe.min.js"
SLOWLY = "0.5"
"""The answer of `generate` takes two seconds, so that its client is gone between its first piece and its end."""
FEW_OF_A_KIND = """() => {
    const articles = ".api-message:nth-of-type(n+2), .api-job:nth-of-type(n+2)";
    const items = [".api-session >", ".api-nav li", ".api-tree .api-tree >"].map(list => `${list} li:nth-child(n+3)`);
    document.querySelectorAll([articles, items, "tr:nth-child(n+3)"].join()).forEach(one => one.remove());
    document.querySelectorAll(".api details").forEach(one => { one.open = true });
}"""
"""What is looked through is all that there is, unfolded, but not each of a kind: that would take half a minute."""
PHONE = {"width": 375, "height": 812}


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("api")
    found = own_jobs.install(directory, typed_jobs.SOURCE)
    with running(directory, PYTHONPATH=found, BUS_SECRET=SECRET, BUS_JOB_DELAY_SCALE=SLOWLY) as system:
        yield system


@pytest.fixture(scope="module")
def worker(typed: System) -> Worker:
    return typed.worker()


@pytest.fixture(scope="module")
def web(typed: System, worker: Worker) -> Web:
    return typed.web()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tab(browser: Browser, web: Web) -> AsyncIterator[Page]:
    """The page, opened once: each test goes on where the one before has left it."""
    async with await browser.new_page(permissions=["clipboard-read", "clipboard-write"]) as page:
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        await page.goto(f"{web.url}/asyncapi/docs/")
        yield page
        assert troubles == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(tab: Page) -> Page:
    if await tab.get_by_role("button", name="Disconnect").is_visible():
        await tab.get_by_role("button", name="Disconnect").click()
    await expect(tab.get_by_role("button", name="Connect", exact=True)).to_be_enabled()
    await tab.get_by_role("button", name="Clear").click()
    return tab


async def go(page: Page, fragment: str) -> None:
    await page.evaluate("fragment => { location.hash = fragment }", fragment)


def log(page: Page) -> Locator:
    return page.get_by_role("list", name="Frames")


def fields(page: Page) -> Locator:
    return page.locator("#api-fields")


def chosen(page: Page, what: str) -> Locator:
    return page.locator(f"#api-try select[name={what}]")


def raw(page: Page) -> Locator:
    return page.get_by_label("Frame as JSON")


async def frame(page: Page) -> object:
    return json.loads(await raw(page).input_value())


async def test_what_is_looked_for_is_found_and_has_an_address(page: Page) -> None:
    await page.keyboard.press("/")
    await page.keyboard.type("too_slow")
    await expect(page.get_by_text("1 found")).to_be_visible()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**#close-too_slow")
    await expect(page.locator("#close-too_slow")).to_be_in_viewport()
    await page.get_by_label("Search").fill("retry_of")  # a key of theirs
    await page.keyboard.press("Enter")
    await page.wait_for_url("**#system-JobQueued")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="system_message").first).to_be_visible()


async def test_a_schema_unfolds_by_keyboard_and_to_the_key_that_an_address_names(page: Page) -> None:
    await go(page, "system-SystemMessage")
    message = page.get_by_role("article", name="system_message")
    resize = message.locator("details", has=page.locator("summary", has_text='task_type "resize"')).last
    width = resize.locator("li[id$='payload.content.width']")
    await expect(width).to_be_hidden()
    await go(page, str(await width.get_attribute("id")))
    await expect(width).to_be_in_viewport()
    await expect(width).to_contain_text("≤ 10000")
    await resize.locator("> summary").press("Enter")
    await expect(width).to_be_hidden()


async def test_the_example_follows_the_mode_of_its_message_or_of_all_which_is_remembered(page: Page) -> None:
    ping = page.get_by_role("article", name="ping", exact=True)
    output = page.get_by_role("article", name="job_output", exact=True)
    await expect(ping.locator("pre:visible")).to_contain_text('"ref": "1"')
    await ping.get_by_role("radio", name="plain").check(force=True)
    await expect(ping.locator("pre:visible")).not_to_contain_text("ref")
    await ping.locator("pre:visible").get_by_role("button", name="Copy").click()
    assert json.loads(await page.evaluate("navigator.clipboard.readText()")) == {"action": "ping"}
    await expect(output.locator("pre:visible")).to_contain_text('"index": 0')
    await page.locator("#api-mode").get_by_role("radio", name="plain").check(force=True)
    await page.reload()
    await expect(output).to_contain_text("Not in plain mode")
    await expect(output.locator("pre:visible")).to_have_count(0)
    await expect(chosen(page, "mode")).to_have_value("plain")


async def test_fields_and_json_say_the_same_and_the_server_s_errors_stand_at_their_fields(page: Page) -> None:
    await go(page, "try/system/system_message/invoice")
    await expect(chosen(page, "kind")).to_have_value("invoice")
    await fields(page).get_by_label("number").fill("7")
    await fields(page).get_by_label("unit (optional)").select_option("lb")
    await fields(page).get_by_label("paid").check()
    await fields(page).get_by_label("note").fill("<b>")
    await fields(page).get_by_label("extra (optional)").fill("{no json")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await page.get_by_role("button", name="Send").click()
    await expect(fields(page).get_by_text("This is not JSON")).to_be_visible()
    await expect(fields(page).get_by_label("extra (optional)")).to_be_focused()
    await expect(page.locator("#api-log")).not_to_contain_text("system_message")
    written = await frame(page)
    assert isinstance(written, dict)
    content = written["payload"]["content"]
    assert {key: content[key] for key in ("number", "unit", "paid", "note")} == {
        "number": 7,
        "unit": "lb",
        "paid": True,
        "note": "<b>",
    }
    content |= {"extra": {"a": [1]}, "names": ["ann", "bob"], "due": "2026-02-03"}
    await raw(page).fill(json.dumps(written))
    await expect(fields(page).get_by_label("names")).to_have_value("ann\nbob")
    await page.get_by_role("button", name="Send").click()
    await expect(fields(page).get_by_text("no markup, please")).to_be_visible()
    await expect(page.get_by_text("The server refused it: see payload › content › note.")).to_be_visible()
    await fields(page).get_by_label("note").fill("fine")
    await page.get_by_role("button", name="Send").click()
    await expect(log(page)).to_contain_text('"action":"job_result"')
    await page.get_by_role("button", name="Disconnect").click()
    await expect(log(page)).to_contain_text("Closed with 1000")


async def test_json_that_is_none_is_not_sent_and_another_message_brings_its_own_fields(page: Page) -> None:
    await raw(page).fill("{no json")
    await expect(page.locator("#api-wrong")).to_contain_text("This is no JSON, and is not sent")
    await expect(fields(page).get_by_label("number")).to_be_disabled()
    await raw(page).fill('{"action": "system_message", "payload": {"task_type": "total", "content": [1, 2]}}')
    await expect(chosen(page, "kind")).to_have_value("total")
    await expect(fields(page).get_by_label("content")).to_have_value("1\n2")
    await chosen(page, "message").select_option("get_job")
    await expect(fields(page).get_by_label("job_id")).to_be_visible()
    await page.wait_for_url("**#try/system/get_job")
    await page.get_by_role("button", name="Send").press("Enter")
    await expect(page.locator("#api-wrong")).to_have_text("Not sent: connect first.")


async def test_the_other_mode_begins_with_connect_comes_back_and_a_close_code_is_explained(page: Page) -> None:
    await go(page, "try/system/connect")
    await expect(chosen(page, "mode")).to_have_value("bus.v1")
    await chosen(page, "message").select_option("ping")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(log(page)).to_contain_text('"action":"welcome"')
    await page.get_by_role("button", name="Disconnect").click()
    await chosen(page, "message").select_option("connect")
    await expect(fields(page).get_by_label("resume (optional)")).not_to_have_value("")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await page.get_by_role("button", name="Send").click()
    await expect(log(page)).to_contain_text('"recovered":true,"replayed":0')
    await page.get_by_role("button", name="Disconnect").click()
    await page.get_by_role("button", name="Connect", exact=True).click()
    await raw(page).fill("[]")
    await page.get_by_role("button", name="Send").click()
    await expect(log(page)).to_contain_text(
        "Closed with 4400: the first frame must be a valid connect (connect again: no)"
    )


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there; `make axe` fetches it (needs npm)")
async def test_nothing_shuts_people_out_with_or_without_a_connection(page: Page, web: Web) -> None:
    async def violations(where: str) -> list[str]:
        await page.evaluate(AXE.read_text())
        found = await page.evaluate("where => axe.run(where, { resultTypes: ['violations'] })", where)
        return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found["violations"]]

    await page.emulate_media(color_scheme="dark")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await raw(page).fill("{")
    await page.evaluate(FEW_OF_A_KIND)
    assert await violations("body") == []
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.route("**/asyncapi.json", lambda route: route.abort())
    await page.goto(f"{web.url}/asyncapi/docs/?away#try/system/ping")
    await expect(fields(page)).to_contain_text("the AsyncAPI document did not come")
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert await violations("#api-try") == []
    await page.unroute("**/asyncapi.json")
    assert await frame(page) == {"action": "ping"}
    await page.get_by_role("button", name="Try again").click()
    await expect(chosen(page, "message")).to_have_value("ping")


async def test_a_server_speaks_plain_mode_as_the_session_shows(typed: System, web: Web, worker: Worker) -> None:
    *before, announced, result = sessions()["plain"]
    async with client(web.ws_url) as connected:
        conversation = Conversation(connected)
        with held(worker):
            for step in before:
                await conversation.take(step)
            await broadcast(typed, announced["frame"]["payload"])
            await conversation.take(announced)
        await conversation.take(result)


async def test_a_server_speaks_bus_v1_as_the_session_shows(typed: System, web: Web, worker: Worker) -> None:
    steps = sessions()["bus.v1"]
    [restart] = [index for index, step in enumerate(steps) if "code" in step]
    restarted = typed.web()
    async with client(restarted.ws_url, subprotocols=["bus.v1"]) as connected:
        conversation = Conversation(connected)
        for step in steps[:restart]:
            heard = await conversation.take(step)
        with held(worker):
            stopping = asyncio.create_task(asyncio.to_thread(restarted.stop))
            assert await conversation.closed() == steps[restart]["code"]
            await stopping
    await result_of(typed, heard["job_id"])
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        conversation.over(connected)
        for step in steps[restart + 1 :]:
            heard = await conversation.take(step)
    told = [step["frame"]["payload"] for step in steps if step.get("frame", {}).get("action") == "job_output"]
    for pieces in (told, conversation.shown):
        assert heard["payload"].startswith("".join(pieces))


@contextmanager
def held(worker: Worker) -> Iterator[None]:
    """The worker does nothing meanwhile."""
    worker.pause()
    try:
        yield
    finally:
        worker.resume()


async def result_of(system: System, job_id: str) -> None:
    """Wait until the job has its result."""
    async with asyncio.timeout(60), Bus(Settings.load(nats_url=system.nats.url)) as bus:
        while (last := await bus.stream.last(subjects.any_client(job_id))) is None or b'"job_result"' not in last.data:
            await asyncio.sleep(0.05)
