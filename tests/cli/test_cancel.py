"""busctl cancel: exit 0 only for a job that it has called off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from bus import Bus, Settings, job_log
from bus.job_log import JobRequest, JobState
from testbed.servers import Nats
from testbed.system import System
from tests.cli.background import background
from tests.cli.command import busctl


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


async def queued(bus: Bus, client_id: str, job_id: str | None = None) -> JobState:
    request = JobRequest(task_type="default", job_type="default", content="hi")
    return await job_log.create(bus.stream, client_id, request, job_id=job_id or job_log.new_job_id())


async def test_a_queued_job_of_any_client_is_cancelled(nats: Nats, bus: Bus) -> None:
    job = await queued(bus, "ann")
    done = busctl("cancel", job.job_id, NATS_URL=nats.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Job {job.job_id} cancelled.\n", "")
    assert (await job_log.read(bus.stream, "ann", job.job_id)).state == "job_cancelled"


def test_a_running_job_is_cancelled_and_its_worker_is_told(fresh: System) -> None:
    worker = fresh.worker("--concurrency", "1", BUS_JOB_DELAY_SCALE="1000")
    with background("submit", "generate", "hi", "--wait", "--json", **fresh.env) as waiting:
        actions = [json.loads(waiting.line()) for _ in range(2)]
        assert [event["action"] for event in actions] == ["job_queued", "job_started"]
        assert busctl("cancel", actions[0]["job_id"], **fresh.env).returncode == 0
        assert json.loads(waiting.line())["action"] == "job_cancelled"
    with background("submit", "generate", "next", "--wait", "--json", **fresh.env) as waiting:
        actions = [json.loads(waiting.line()) for _ in range(2)]
        assert [event["action"] for event in actions] == ["job_queued", "job_started"], worker.output()
    worker.kill()  # it would wait for that job


async def test_a_job_that_had_ended_is_exit_1_and_says_how(nats: Nats, bus: Bus) -> None:
    job = await queued(bus, "ann")
    await job_log.finish(bus.stream, job, "all done")
    refused = busctl("cancel", job.job_id, "--json", NATS_URL=nats.url)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["state"] == "job_result"
    assert "had ended already: done" in refused.stderr


def test_an_unknown_job_is_exit_1(nats: Nats) -> None:
    refused = busctl("cancel", "no-such-job", NATS_URL=nats.url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no job no-such-job is known" in refused.stderr


async def test_when_two_clients_have_a_job_of_that_id_it_asks_whose(nats: Nats, bus: Bus) -> None:
    await queued(bus, "ann", "twice")
    await queued(bus, "bob", "twice")
    refused = busctl("cancel", "twice", NATS_URL=nats.url)
    assert refused.returncode == 1
    assert "ann, bob; say whose you mean with --client" in refused.stderr
    done = busctl("cancel", "twice", "--client", "bob", "--json", NATS_URL=nats.url)
    assert done.returncode == 0
    assert json.loads(done.stdout)["client_id"] == "bob"
    assert (await job_log.read(bus.stream, "ann", "twice")).state == "job_queued"


def test_an_id_that_cannot_be_one_is_wrong_usage() -> None:
    assert busctl("cancel", "a.b").returncode == 2


def test_without_nats_it_fails_and_names_the_server() -> None:
    failed = busctl("cancel", "abc", "--timeout", "0.5")
    assert failed.returncode == 1
    assert "nats://127.0.0.1:1" in failed.stderr
