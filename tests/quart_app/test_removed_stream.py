"""The stream is removed under running web and worker: they declare it again, and clients are told to come back."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

from bus import subjects
from testbed.servers import wait_until
from testbed.system import System
from tests.clients import Client, client
from tests.raw_jetstream import connected


async def test_clients_reconnect_and_jobs_run_when_the_stream_was_removed(fresh: System) -> None:
    fresh.worker("--concurrency", "1")
    web = fresh.web()
    async with client(web.ws_url) as listener, connected(fresh.nats.url) as operator:
        await listener.submit("default", "before")
        await listener.receive_until("job_result", 30)
        await operator.ask(f"STREAM.DELETE.{subjects.STREAM}")
        assert await close_code(listener) == 1012
    await asyncio.to_thread(wait_until, lambda: "made anew" in web.output(), "word of the new stream")
    async with client(web.ws_url) as again:
        await again.submit("default", "after")
        assert (await again.receive_until("job_result", 30))[-1]["payload"].endswith("AFTER")


async def close_code(connected: Client) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await connected.receive_until("nothing of this name", 15)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code
