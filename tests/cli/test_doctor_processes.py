"""busctl doctor on a system whose processes run, and do not agree."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bus import Bus, Settings, job_log
from testbed.system import System, running
from tests import own_jobs
from tests.cli.command import busctl

OTHERS = '''
from workers.registry import job, JobContext

@job
def other(content: str, job: JobContext) -> str:
    """What only the workers know."""
    return content
'''
SECRETS = ["a" * 32, "b" * 32]

Told = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A worker that knows other jobs than the two web processes, which have each another secret."""
    directory = tmp_path_factory.mktemp("system")
    with running(directory) as system:
        system.worker(BUS_EXAMPLE_JOBS="false", PYTHONPATH=own_jobs.install(directory, OTHERS))
        for secret in SECRETS:
            system.web(BUS_SECRET=secret)
        yield system


@pytest.fixture(scope="module")
def told(system: System) -> Told:
    """What the doctor says of it, by area; of several that he says of one, the last."""
    shown = busctl("doctor", "--json", **system.env)
    assert shown.returncode == 1
    checks = [json.loads(line) for line in shown.stdout.splitlines()]
    assert not any(secret in shown.stdout for secret in SECRETS)
    return {check["area"]: check for check in checks}


def test_a_job_comes_back_though_the_worker_has_none_of_the_example_jobs(told: Told) -> None:
    assert told["a job"]["state"] == "good"
    assert "run by a worker and back" in told["a job"]["text"]


def test_a_worker_with_other_jobs_is_named(told: Told) -> None:
    assert told["job types"]["state"] == "bad"
    assert (
        "web processes accept analyze, default, generate, translate, which no worker knows" in told["job types"]["text"]
    )


def test_different_secrets_are_noticed_and_not_shown(told: Told) -> None:
    assert told["secret"]["state"] == "bad"
    assert "different secrets" in told["secret"]["text"]


def test_a_setting_that_differs_is_named_with_its_values(told: Told) -> None:
    assert told["agreement"]["state"] == "bad"
    assert "BUS_EXAMPLE_JOBS is True at" in told["agreement"]["text"]


async def test_a_job_that_no_worker_brings_back_is_said_and_called_off(system: System) -> None:
    shown = busctl("doctor", "--json", **system.env, BUS_REDIS_PREFIX="elsewhere")
    checks = {check["area"]: check for check in map(json.loads, shown.stdout.splitlines())}
    assert checks["a job"]["state"] == "bad"
    assert "no worker of the queue jobs brought it back" in checks["a job"]["text"]
    assert "REDIS_URL" in checks["a job"]["remedy"]
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        ends = [
            step.event.action async for step in job_log.steps(bus.stream, "bus.client.cli.job.*") if step.event.ended
        ]
    assert ends[-1] == "job_cancelled"
