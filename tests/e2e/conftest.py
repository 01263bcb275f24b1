"""One browser for all tests of a process that have one; each page is a visitor of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from testbed.servers import Worker
from tests.e2e.browser import chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, for tests that run on the session's event loop: `pytest.mark.asyncio(loop_scope="session")`."""
    async with chromium() as browser:
        yield browser


@pytest.fixture
def idle(worker: Worker) -> Iterator[None]:
    """Nobody works on a job until the test is over."""
    worker.pause()
    yield
    worker.resume()
