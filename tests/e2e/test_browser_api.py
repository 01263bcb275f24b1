"""The page of the API in a browser: found, linked to, copied, and tried on the live socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from testbed.servers import Web
from testbed.system import System

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    system.worker()
    return system.web()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, web: Web) -> AsyncIterator[Page]:
    async with await browser.new_page() as page:
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        await page.goto(f"{web.url}/asyncapi/docs/")
        yield page
        assert troubles == []


async def test_what_is_looked_for_is_found_and_has_an_address(page: Page) -> None:
    await page.keyboard.press("/")
    await page.keyboard.type("too_slow")
    await expect(page.get_by_text("1 found")).to_be_visible()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**#close-too_slow")
    await expect(page.locator("#close-too_slow")).to_be_in_viewport()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="system_message").first).to_be_visible()
    keys = page.locator("details.api-keys").first
    await keys.locator("summary").click()
    await expect(keys.locator("dl")).to_be_hidden()


async def test_a_job_is_submitted_on_the_live_socket_and_what_is_no_json_is_not_sent(page: Page) -> None:
    log = page.get_by_role("list", name="Frames")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#api-state")).to_have_text("connected")
    await page.get_by_label("Frame", exact=True).fill("{no json")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#api-wrong")).to_contain_text("This is no JSON, and was not sent")
    await page.get_by_label("Begin with").select_option(label="system_message")
    await page.get_by_role("button", name="Send").click()
    await expect(log).to_contain_text('"action":"job_result"')
    await page.get_by_role("button", name="Disconnect").click()
    await expect(log).to_contain_text("Closed with 1000")


async def test_the_other_mode_begins_with_connect_and_a_close_code_is_explained(page: Page) -> None:
    log = page.get_by_role("list", name="Frames")
    await page.locator("[name=mode]").select_option("bus.v1")
    await page.get_by_role("button", name="Connect").click()
    await page.get_by_role("button", name="Send").click()
    await expect(log).to_contain_text('"action":"welcome"')
    await page.get_by_role("button", name="Disconnect").click()
    await page.get_by_role("button", name="Connect").click()
    await page.get_by_label("Frame", exact=True).fill("[]")
    await page.get_by_role("button", name="Send").click()
    await expect(log).to_contain_text("Closed with 4400: the first frame must be a valid connect (connect again: no)")
