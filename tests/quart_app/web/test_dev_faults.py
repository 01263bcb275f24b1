"""The page of `busctl dev` may ask it for a fault; nobody else may, and no other page has that."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from quart.testing import QuartClient

from bus import Settings
from quart_app import create_app

OWN = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}
PATH = "/dev/faults/kill-worker"


class Dev:
    """The other end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        self.answer = "did it"

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readline()).decode())
        writer.write(f"{self.answer}\n".encode())
        writer.close()


@pytest.fixture
async def dev() -> AsyncIterator[Dev]:
    with tempfile.TemporaryDirectory(prefix="busctl-") as directory:
        dev = Dev(Path(directory, "dev.sock"))
        async with await asyncio.start_unix_server(dev.hear, dev.path):
            yield dev


@pytest.fixture
def page(dev: Dev) -> QuartClient:
    return QuartClient(create_app(Settings(dev_socket=str(dev.path))))


async def test_its_own_page_may_ask(page: QuartClient, dev: Dev) -> None:
    answer = await page.post(PATH, headers=OWN)
    assert (answer.status_code, await answer.get_data(as_text=True)) == (200, "did it\n")
    assert dev.asked == ["kill-worker\n"]
    assert "Kill a worker" in await (await page.get("/system/")).get_data(as_text=True)


async def test_what_cannot_be_done_is_told(page: QuartClient, dev: Dev) -> None:
    dev.answer = "error: Redis is frozen already"
    answer = await page.post("/dev/faults/freeze-redis", headers=OWN)
    assert (answer.status_code, await answer.get_data(as_text=True)) == (409, "Redis is frozen already\n")
    dev.path.unlink()
    assert (await page.post(PATH, headers=OWN)).status_code == 502


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:8001", "null", None])
async def test_no_other_site_may(page: QuartClient, dev: Dev, origin: str | None) -> None:
    headers = OWN | {"Origin": origin} if origin is not None else {"Host": OWN["Host"]}
    assert (await page.post(PATH, headers=headers)).status_code == 403
    assert (await page.get(PATH, headers=OWN)).status_code == 405
    assert dev.asked == []


async def test_anywhere_else_there_is_nothing_to_ask() -> None:
    page = QuartClient(create_app(Settings()))
    assert (await page.post(PATH, headers=OWN)).status_code == 404
    html = await (await page.get("/system/")).get_data(as_text=True)
    assert "Kill a worker" not in html
    assert "Drop the connection" in html
