"""A stream EVENTS of another application: every command and every process says so, and leaves it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from testbed.ports import free_port
from testbed.servers import wait_until
from testbed.system import System, running
from tests.cli.command import busctl
from tests.raw_jetstream import Config, RawJetStream, connected


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("theirs")) as system:
        yield system


@pytest.fixture
async def raw(theirs: System) -> AsyncIterator[RawJetStream]:
    async with connected(theirs.nats.url) as raw:
        yield raw


@pytest.fixture
async def before(raw: RawJetStream) -> Config:
    config = await raw.create(subjects=["events.>"])
    if await raw.messages() == 0:
        for _ in range(3):
            await raw.connection.request("events.x", b"theirs", 5)
    return config


@pytest.mark.parametrize(
    "command",
    [
        ("notify", "hi"),
        ("submit", "default", "x"),
        ("jobs",),
        ("cancel", "0123456789abcdef"),
        ("watch",),
        ("serve", "--bind", f"127.0.0.1:{free_port()}"),
    ],
    ids=lambda command: command[0],
)
async def test_every_command_refuses_it(
    theirs: System, raw: RawJetStream, before: Config, command: tuple[str, ...]
) -> None:
    refused = busctl(*command, **theirs.env)
    assert refused.returncode == 1
    assert "belongs to another application (its subjects: events.>); nothing was changed" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert await raw.config() == before
    assert await raw.messages() == 3


async def test_a_notification_is_not_put_into_a_stream_that_only_has_our_subjects(
    theirs: System, raw: RawJetStream, before: Config
) -> None:
    before = await raw.edit(subjects=["events.>", "bus.>"])
    try:
        refused = busctl("notify", "hi", **theirs.env)
        assert refused.returncode == 1
        assert "belongs to another application" in refused.stderr
        assert await raw.config() == before
        assert await raw.messages() == 3
    finally:
        await raw.edit(subjects=["events.>"])


async def test_a_worker_waits_and_says_why(theirs: System, raw: RawJetStream, before: Config, tmp_path: Path) -> None:
    worker = theirs.worker("--concurrency", "1", BUS_RECONCILE_INTERVAL="0.2")
    wait_until(lambda: "belongs to another application" in worker.output(), "reason in the log")
    assert worker.stop() == 0
    assert await raw.config() == before
    assert await raw.messages() == 3
