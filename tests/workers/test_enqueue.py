"""Enqueueing: the loop never waits for Redis, and what is put in line arrives."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bus import Bus, Settings
from bus.job_log import JobRequest, JobState
from bus.messages import JobQueued
from testbed.servers import wait_until
from testbed.system import System
from workers import enqueue
from workers.config import QUEUE
from workers.enqueue import Enqueuer
from workers.errors import BacklogFull, BrokerUnavailable
from workers.redis_owner import OWNER


def a_job(number: int) -> JobState:
    request = JobRequest(task_type="default", job_type="default", content="x")
    return JobState("client", f"job{number}", request, JobQueued(payload="", job_id=f"job{number}"), 1, None)


def settings_of(system: System, **overrides: object) -> Settings:
    return Settings.load(redis_url=system.valkey.url, nats_url=system.nats.url, **overrides)


async def test_every_job_arrives_with_its_own_id_as_task_id(fresh: System) -> None:
    async with Enqueuer(settings_of(fresh)) as enqueuer:
        for number in range(50):
            enqueuer.put(a_job(number))
    with fresh.valkey.client() as redis:
        messages = [json.loads(raw) for raw in redis.lrange(QUEUE, 0, -1)]
    assert {message["headers"]["id"] for message in messages} == {f"job{number}" for number in range(50)}
    assert {message["headers"]["task"] for message in messages} == {"jobs.default"}


async def test_jobs_wait_in_line_while_redis_is_frozen(fresh: System) -> None:
    async with Enqueuer(settings_of(fresh)) as enqueuer:
        await enqueuer.ping()
        fresh.valkey.pause()
        for number in range(10):
            enqueuer.put(a_job(number))
        with pytest.raises(BrokerUnavailable, match="Redis does not answer"):
            await enqueuer.ping()
        fresh.valkey.resume()
        with fresh.valkey.client() as redis:
            await asyncio.to_thread(wait_until, lambda: _ids(redis) == {f"job{n}" for n in range(10)}, "ten tasks")


@pytest.mark.parametrize(("option", "answer"), [("maxmemory", "used memory"), ("min-replicas-to-write", "NOREPLICAS")])
async def test_a_redis_that_takes_no_tasks_is_not_available(fresh: System, option: str, answer: str) -> None:
    async with Enqueuer(settings_of(fresh)) as enqueuer:
        with fresh.valkey.client() as redis:
            await enqueuer.ping()
            redis.config_set(option, 1)
            with pytest.raises(BrokerUnavailable, match=f"Redis takes no tasks: .*{answer}"):
                await enqueuer.ping()
            redis.config_set(option, 0)
            await enqueuer.ping()
            assert redis.keys() == []


async def test_jobs_wait_in_line_while_redis_is_down(fresh: System) -> None:
    fresh.valkey.kill()
    async with Enqueuer(settings_of(fresh)) as enqueuer:
        enqueuer.put(a_job(1))
        with pytest.raises(BrokerUnavailable):
            await enqueuer.ping()
        await asyncio.to_thread(fresh.valkey.start)
        with fresh.valkey.client() as redis:
            await asyncio.to_thread(wait_until, lambda: _ids(redis) == {"job1"}, "the task")


async def test_no_error_ends_the_line_or_the_claim(fresh: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enqueue, "RENEWED_EVERY", 0.01)
    async with Bus(settings_of(fresh)) as bus, Enqueuer(settings_of(fresh), bus) as enqueuer:
        failed: list[str] = []
        for name in ("send", "hand_over"):
            monkeypatch.setattr(enqueue, name, failing_once(getattr(enqueue, name), failed))
        enqueuer.put(a_job(1))
        with fresh.valkey.client() as redis:
            await asyncio.to_thread(wait_until, lambda: _ids(redis) == {"job1"}, "the task")
            await asyncio.to_thread(wait_until, lambda: len(failed) == 2, "errors")
            redis.delete(OWNER)
            await asyncio.to_thread(wait_until, lambda: redis.exists(OWNER), "claim")


def failing_once(function: Callable[..., Any], failed: list[str]) -> Callable[..., Any]:
    def fail(*arguments: Any) -> Any:
        if function.__name__ in failed:
            return function(*arguments)
        failed.append(function.__name__)
        raise RuntimeError("once")

    return fail


async def test_the_line_is_bounded(fresh: System) -> None:
    fresh.valkey.kill()
    async with Enqueuer(settings_of(fresh, enqueue_backlog=3)) as enqueuer:
        for number in range(3):
            enqueuer.put(a_job(number))
        with pytest.raises(BacklogFull, match="3 jobs wait"):
            enqueuer.put(a_job(4))


def _ids(redis) -> set[str]:  # type: ignore[no-untyped-def]
    return {json.loads(raw)["headers"]["id"] for raw in redis.lrange(QUEUE, 0, -1)}
