"""The form that the page draws for a job that takes more than text, in one browser at one system."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from testbed.servers import Web
from testbed.system import System, running
from tests import own_jobs, typed_jobs
from tests.e2e.browser import SystemPage, opened, system_page

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

MARKUP = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("forms")
    found = own_jobs.install(directory, typed_jobs.SOURCE)
    with running(directory, PYTHONPATH=found) as system:
        system.worker()
        yield system


@pytest.fixture(scope="module")
def page(typed: System) -> Web:
    return typed.web()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Browser, page: Web) -> AsyncIterator[SystemPage]:
    async with system_page(browser, page.url + "/system/") as tab:
        yield tab


async def choose(tab: SystemPage, job: str) -> None:
    await tab.choose(job)


def control(tab: SystemPage, label: str) -> Locator:
    return tab.page.locator("fieldset.fields:not([hidden])").get_by_label(label)


def field(tab: SystemPage, label: str) -> Locator:
    return control(tab, label).locator("xpath=..")


def error_of(tab: SystemPage, label: str) -> Locator:
    return field(tab, label).locator(".field-error")


async def result(tab: SystemPage) -> object:
    newest = tab.jobs.first
    await expect(newest.locator(".badge")).to_have_text("Done")
    return json.loads(await (await opened(newest)).locator(".job-text").inner_text())


async def test_each_kind_of_field_reaches_the_job_as_its_type(tab: SystemPage) -> None:
    await choose(tab, "invoice")
    await expect(tab.content).to_be_hidden()
    await control(tab, "Number").fill("7")
    await control(tab, "Due").fill("2026-02-03")
    await control(tab, "Weight").fill("1.5")
    await control(tab, "Unit").select_option("lb")
    await control(tab, "Paid").check()
    await control(tab, "Names").fill("ann\nbob\n")
    await control(tab, "Amounts").fill("1\n2")
    await control(tab, "Note").fill(MARKUP.replace("<", "‹"))
    await control(tab, "Extra").fill('{"id": 12345678901234567890, "deep": [null]}')
    await tab.button.click()
    text = await tab.jobs.first.locator(".job-text").inner_text() if await result(tab) else ""
    assert json.loads(text) == {
        "number": 7,
        "due": "2026-02-03",
        "price": "1.50",
        "weight": 1.5,
        "unit": "lb",
        "paid": True,
        "express": None,
        "names": ["ann", "bob"],
        "amounts": [1, 2],
        "note": MARKUP.replace("<", "‹"),
        "extra": {"id": 12345678901234567890, "deep": [None]},
    }
    assert "\n  " in text
    assert await tab.page.title() != "owned"
    await expect(control(tab, "Number")).to_have_value("7")
    assert tab.troubles == []


async def test_what_the_server_finds_wrong_stands_at_its_field_until_it_is_put_right(tab: SystemPage) -> None:
    await choose(tab, "invoice")
    await control(tab, "Number").fill("7")
    await control(tab, "Due").fill("2026-02-03")
    await control(tab, "Names").fill("ann")
    await control(tab, "Note").fill(MARKUP)
    await tab.button.click()
    await expect(error_of(tab, "Note")).to_have_text("Value error, no markup, please")
    await expect(control(tab, "Note")).to_be_focused()
    await expect(control(tab, "Note")).to_have_attribute("aria-invalid", "true")
    await expect(error_of(tab, "Number")).to_be_hidden()
    badge, button = tab.jobs.first.locator(".badge"), tab.jobs.first.locator(".job-open")
    await expect(badge).to_have_text("Not accepted")
    assert await badge.evaluate("(badge) => badge.scrollWidth <= badge.clientWidth")
    assert await button.evaluate("(button) => button.ariaLabel.startsWith(button.textContent)")  # however long it is
    await control(tab, "Note").fill("thanks")
    await expect(error_of(tab, "Note")).to_be_hidden()
    await tab.button.click()
    assert await result(tab)


async def test_mistakes_inside_of_a_field_say_where(tab: SystemPage) -> None:
    await choose(tab, "resize")
    await control(tab, "Width").fill("640")
    await control(tab, "Crop").fill('{"x": -1, "width": 5, "height": 5}')
    await tab.button.click()
    await expect(error_of(tab, "Crop")).to_have_text("x: Input should be greater than or equal to 0")
    await control(tab, "Crop").fill("{")
    await tab.button.click()
    await expect(error_of(tab, "Crop")).to_contain_text("This is not JSON")
    await control(tab, "Crop").fill("")
    await control(tab, "Formats").fill("png\nwebp")
    await control(tab, "Title").fill("cat")
    await tab.button.click()
    assert await result(tab) == {"width": 640, "height": 640, "files": ["cat.png", "cat.webp"]}


async def test_bounds_defaults_and_descriptions_are_shown(tab: SystemPage) -> None:
    await choose(tab, "resize")
    width = control(tab, "Width")
    await expect(width).to_have_attribute("min", "1")
    await expect(width).to_have_attribute("max", "10000")
    await expect(field(tab, "Width")).to_contain_text("In pixels. More than 0, at most 10,000.")
    await expect(control(tab, "Fit")).to_have_value("0")
    await expect(control(tab, "Height (optional)")).to_have_value("")
    await expect(control(tab, "Formats")).to_have_value("png")
    await expect(control(tab, "Keep Metadata")).not_to_be_checked()
    await tab.button.click()
    assert await width.evaluate("(field) => field.validity.valueMissing")
    await expect(tab.jobs).to_have_count(0)


async def test_a_value_that_is_no_object_has_one_field(tab: SystemPage) -> None:
    await choose(tab, "total")
    await control(tab, "With what?").fill("1\n2\nx")
    await tab.button.click()
    await expect(error_of(tab, "With what?")).to_have_text("x is not a number")
    await control(tab, "With what?").fill("1\n2\n3")
    await tab.button.click()
    assert await result(tab) == 6
    await expect(tab.jobs.first.locator(".job-open")).to_have_text("[1,2,3]")


async def test_a_job_of_text_keeps_its_one_field(tab: SystemPage) -> None:
    await choose(tab, "resize")
    await tab.submit("default", "still text")
    await expect(tab.content).to_have_value("")
    await expect(tab.jobs.first.locator(".job-text")).to_have_text("✅ Processed: STILL TEXT")
    await expect(control(tab, "Width")).to_be_hidden()
    await choose(tab, "resize")
    await expect(control(tab, "Width")).to_be_visible()
    await expect(tab.content).to_be_hidden()
