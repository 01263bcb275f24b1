"""One client's large jobs do not take the room that the stream has for those of all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import subjects
from testbed.system import System
from tests import own_jobs
from tests.cli.command import busctl
from tests.clients import client
from tests.http import get
from tests.workers.submitter import Submitter, submitter
from workers import client_jobs
from workers.client_jobs import Answer
from workers.errors import TooManyBytes

JOBS = """
import os
from workers.registry import job, JobContext

@job
def holds(content: str, job: JobContext) -> str:
    "Run until the file is there that the content begins with."
    while not os.path.exists(content.partition(" ")[0]) and not job.cancelled.wait(0.02):
        pass
    return "held"
"""
SMALL = 2**20


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with own_jobs.running_with(tmp_path_factory.mktemp("bytes"), JOBS, BUS_STREAM_MAX_BYTES=str(SMALL)) as system:
        system.worker("--concurrency", "2")
        yield system


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconciler that a busy machine slows down is not taken for one that is away, of which old answers hold."""
    monkeypatch.setattr(client_jobs, "ASK_TIMEOUT", 20.0)


def large(release: Path) -> str:
    return f"{release} ".ljust(60_000, "x")


async def known(web: Submitter, client_id: str, *, opened: bool = True) -> None:
    """Wait until the reconciler, which reads now and then, knows of a client's job, or that it has none any more."""
    async with asyncio.timeout(30):
        while (answer := await web.bus.request(subjects.OPEN_JOBS, client_id.encode(), timeout=5)) is None or (
            (Answer.model_validate_json(answer).bytes > 0) != opened
        ):
            await asyncio.sleep(0.05)


async def test_a_client_floods_a_small_stream_and_the_job_of_another_is_accepted_and_ends(
    servers: System, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    async with submitter(servers, stream_max_bytes=SMALL) as web, submitter(servers, stream_max_bytes=SMALL) as other:
        first = await web.submit("ann", "holds", large(release), key="1")
        await known(other, "ann")
        floods = [web.submit("ann", "holds", large(release)) for _ in range(20)]
        floods += [other.submit("ann", "holds", large(release)) for _ in range(20)]  # which is told of the first
        for outcome in await asyncio.gather(*floods, return_exceptions=True):
            assert isinstance(outcome, TooManyBytes)
            assert "together they may have 131,072 (BUS_CLIENT_STREAM_SHARE)" in str(outcome)
        assert [story for story in await web.story() if story[2] == "job_queued"] == [
            ("ann", first.job_id, "job_queued")
        ]
        assert (await other.submit("ann", "holds", large(release), key="1")).job_id == first.job_id
        bob = await web.submit("bob", "holds", large(release))
        release.touch()
        await web.ended([first, bob])
        for client_id in ("ann", "bob"):  # a web process hears of ends by itself, these do not
            await known(web, client_id, opened=False)
        await web.ended([await web.submit("ann", "holds", large(release)), await other.submit("bob", "holds", "/")])


async def test_a_browser_and_busctl_are_told_that_the_open_jobs_of_a_client_take_too_much(
    servers: System, tmp_path: Path
) -> None:
    web, content = servers.web(), large(tmp_path / "never")
    async with client(f"ws://127.0.0.1:{web.port}/ws/system") as browser:
        for _ in range(3):
            await browser.submit("holds", content)
        frames = await browser.receive_until("error") + await browser.receive_until("error")
        errors = [frame["payload"] for frame in frames if frame["action"] == "error"]
        assert [item["type"] for [item] in errors] == ["too_many_bytes"] * 2
        _, text = await asyncio.to_thread(get, f"{web.url}/metrics")
        assert 'busctl_errors_total{type="too_many_bytes"} 2.0' in text

    accepted = await asyncio.to_thread(busctl, "submit", "holds", content, **servers.env)
    async with submitter(servers, stream_max_bytes=SMALL) as other:
        await known(other, "cli")
    refused = await asyncio.to_thread(busctl, "submit", "holds", content, **servers.env)
    assert (accepted.returncode, refused.returncode) == (0, 1)
    assert "error: this job needs 120" in refused.stderr
    assert "see 'busctl jobs --client cli'" in refused.stderr
