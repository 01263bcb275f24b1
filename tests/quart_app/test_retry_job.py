"""retry_job, unknown types and job_status on the wire, with the worker's part played by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bus import Bus, Settings, job_log
from bus.job_log import JobState
from quart_app.app import create_app
from tests.clients import Client, Frame, client
from tests.in_process import serving
from workers.registry import Job, discover

NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


@asynccontextmanager
async def page(settings: Settings) -> AsyncIterator[str]:
    """The address of a web process whose Redis is away."""
    settings = settings.model_copy(update={"redis_url": NO_REDIS, "enqueue_timeout": 0.5})
    async with serving(create_app(settings), wired=False, settings=settings) as port:
        yield f"ws://127.0.0.1:{port}/ws/system"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[Client, str]]:
    """A client of `bus.v1`, and its id."""
    async with client(url, subprotocols=["bus.v1"]) as browser:
        await browser.send({"action": "connect", "payload": {}})
        yield browser, (await browser.receive())["payload"]["client_id"]


async def queued(browser: Client, task_type: str = "translate") -> Frame:
    await browser.submit(task_type, "hello", ref="first")
    return await browser.receive()


async def failed(bus: Bus, browser: Client, client_id: str) -> str:
    """A job that failed; its id."""
    job_id: str = (await queued(browser))["job_id"]
    started = await job_log.start(bus.stream, await job_log.read(bus.stream, client_id, job_id))
    await job_log.fail(bus.stream, started, "no ink")
    await browser.receive_until("job_failed")
    return job_id


async def retry(browser: Client, job_id: str, **extra: Any) -> Frame:
    await browser.send({"action": "retry_job", "payload": {"job_id": job_id}, "ref": "again", **extra})
    return await browser.receive()


def error_of(frame: Frame) -> tuple[str, str]:
    [item] = frame["payload"]
    return item["type"], item["msg"]


async def test_a_job_that_failed_is_done_again_as_a_new_one(settings: Settings, bus: Bus) -> None:
    async with page(settings) as url, connected(url) as (browser, client_id):
        job_id = await failed(bus, browser, client_id)
        before = await job_log.read(bus.stream, client_id, job_id)
        again = await retry(browser, job_id)
        assert again["job_id"] != job_id
        wanted = {"action": "job_queued", "ref": "again", "task_type": "translate", "content": "hello"}
        assert again == again | wanted | {"retry_of": job_id}
        assert await job_log.read(bus.stream, client_id, job_id) == before
        new = await job_log.read(bus.stream, client_id, again["job_id"])
        assert new.request == before.request.model_copy(update={"retry_of": job_id})


async def test_the_same_key_is_the_same_new_job(settings: Settings, bus: Bus) -> None:
    async with page(settings) as url, connected(url) as (browser, client_id):
        job_id = await failed(bus, browser, client_id)
        first, second = [await retry(browser, job_id, key="once") for _ in range(2)]
        assert (first["action"], second["action"], second["ref"]) == ("job_queued", "job_status", "again")
        assert second["payload"]["job_id"] == first["job_id"]


async def test_a_job_that_has_not_ended_or_is_somebody_elses_is_not_done_again(settings: Settings, bus: Bus) -> None:
    async with page(settings) as url, connected(url) as (browser, client_id), connected(url) as (stranger, _):
        job_id = (await queued(browser))["job_id"]
        kind, text = error_of(await retry(browser, job_id))
        assert (kind, text) == (
            "job_not_ended",
            f"job {job_id} has not ended: wait for its end or cancel it, then retry it",
        )
        await job_log.cancel(bus.stream, client_id, job_id)
        await browser.receive_until("job_cancelled")
        assert error_of(await retry(stranger, job_id))[0] == "unknown_job"
        assert error_of(await retry(browser, "a.b"))[0] == "unknown_job"
        assert (await retry(browser, job_id))["action"] == "job_queued"


async def test_job_status_tells_each_attempt_and_why_it_brought_nothing(settings: Settings, bus: Bus) -> None:
    async with page(settings) as url, connected(url) as (browser, client_id):
        job_id = (await queued(browser))["job_id"]
        state: JobState = await job_log.read(bus.stream, client_id, job_id)
        next_at = datetime.now(UTC)
        state = await job_log.start(bus.stream, state, instance="child-1")
        state = await job_log.retry(bus.stream, state, "no ink", next_at=next_at)
        events = await browser.receive_until("job_retrying")
        assert events[-1] == events[-1] | {"attempt": 1, "reason": "no ink", "job_id": job_id}
        assert datetime.fromisoformat(events[-1]["next_at"]) == next_at
        await job_log.start(bus.stream, state)
        await browser.receive_until("job_started")
        await browser.send({"action": "get_job", "payload": {"job_id": job_id}})
        status = (await browser.receive())["payload"]
        assert (status["state"], status["attempt"]) == ("job_started", 2)
        assert [(attempt["attempt"], attempt["reason"]) for attempt in status["attempts"]] == [(1, "no ink"), (2, None)]
        assert status["attempts"][0]["started_at"] == events[0]["at"]


async def test_job_status_tells_what_its_last_event_told(settings: Settings, bus: Bus) -> None:
    async with page(settings) as url, connected(url) as (browser, client_id):

        async def status(*, gives: object = None, fails: str = "", fails_first: str = "") -> tuple[object, ...]:
            job_id = (await queued(browser))["job_id"]
            state = await job_log.start(bus.stream, await job_log.read(bus.stream, client_id, job_id))
            if fails:
                await job_log.fail(bus.stream, state, fails)
            elif fails_first:
                await job_log.retry(bus.stream, state, fails_first, next_at=datetime.now(UTC))
            else:
                await job_log.finish(bus.stream, state, gives)
            return await asked(job_id)

        async def asked(job_id: str) -> tuple[object, ...]:
            await browser.send({"action": "get_job", "payload": {"job_id": job_id}})
            payload = (await browser.receive_until("job_status"))[-1]["payload"]
            return payload["state"], payload["result"], payload["reason"], payload["by"]

        assert await status(gives={"sum": 6}) == ("job_result", {"sum": 6}, None, None)
        assert await status(gives="six") == ("job_result", "six", None, None)
        assert await status(fails="no ink") == ("job_failed", None, "no ink", None)
        assert await status(fails_first="no ink") == ("job_retrying", None, "no ink", None)
        job_id = (await queued(browser))["job_id"]
        assert await asked(job_id) == ("job_queued", None, None, None)
        await job_log.cancel(bus.stream, client_id, job_id, by="an operator")
        assert await asked(job_id) == ("job_cancelled", None, None, "an operator")


async def test_clients_of_plain_mode_are_not_told_of_retries(settings: Settings, bus: Bus) -> None:
    async with page(settings) as url, client(url) as browser:
        job_id = (await queued(browser))["job_id"]
        [client_id] = {step.client_id async for step in job_log.steps(bus.stream, f"bus.client.*.job.{job_id}")}
        state = await job_log.start(bus.stream, await job_log.read(bus.stream, client_id, job_id))
        state = await job_log.requeue(bus.stream, state)
        await job_log.finish(bus.stream, await job_log.start(bus.stream, state), "at last")
        assert (await browser.receive())["action"] == "job_result"


async def test_an_unknown_type_runs_default_and_says_so(settings: Settings) -> None:
    async with page(settings) as url, client(url) as browser:
        assert (await queued(browser, "nonsense"))["runs"] == "default"
        assert "runs" not in await queued(browser, "default")


async def test_without_a_default_an_unknown_type_is_refused_and_the_known_ones_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_default(_: Settings) -> dict[str, Job]:
        return {name: job for name, job in discover().items() if name != "default"}

    monkeypatch.setitem(create_app.__globals__, "discover_for", without_default)
    async with page(settings) as url, client(url) as browser:
        kind, text = error_of(await queued(browser, "nonsense"))
        assert kind == "unknown_task_type"
        assert text == "there is no job type 'nonsense'; there is analyze, generate, translate"
        assert (await queued(browser, "translate"))["action"] == "job_queued"
