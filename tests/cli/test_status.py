"""busctl status: how the system stands, and exit 1 when it cannot do its work."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from testbed.servers import Nats, Web, wait_until
from testbed.system import System
from tests.cli.command import busctl
from tests.clients import client


def told(system: System, **env: str) -> tuple[int, dict[str, Any]]:
    shown = busctl("status", "--json", **(system.env | env))
    assert shown.stdout.count("\n") == 1
    return shown.returncode, json.loads(shown.stdout)


@pytest.fixture(scope="module", autouse=True)
def ready(system: System, web: Web) -> None:
    """A worker that has just begun does not reconcile at once."""
    wait_until(lambda: told(system)[1]["open_jobs"] is not None, "worker that knows the open jobs")


async def test_a_system_that_works_is_one_object_and_exit_0(system: System, web: Web) -> None:
    async with client(web.ws_url) as one:
        await one.ping()
        status, state = await asyncio.to_thread(told, system)
    assert (status, state["ok"], state["faults"]) == (0, True, [])
    assert state["stream"]["max_age"] == 86400
    assert state["redis"] == state["redis"] | {"kind": "Valkey", "role": "master", "queues": {"jobs": 0}}
    assert [(worker["concurrency"], worker["queues"]) for worker in state["workers"]] == [(2, ["jobs"])]
    assert [process["connections"] for process in state["web"]] == [1]
    assert state["open_jobs"] == {"running": 0, "queued": 0, "waiting": 0, "scheduled": 0}


async def test_jobs_that_wait_for_their_time_and_for_a_worker_are_counted(system: System, web: Web) -> None:
    async with client(web.ws_url) as one:
        await one.submit("default", "later", delay=3600)
        await one.receive_until("job_queued")
        _, state = await asyncio.to_thread(told, system)
        assert state["open_jobs"]["scheduled"] == 1


def test_for_people_every_part_has_a_line_of_its_own(system: System, web: Web) -> None:
    shown = busctl("status", **system.env)
    assert (shown.returncode, shown.stderr) == (0, "")
    marks = [line.split()[:2] for line in shown.stdout.splitlines() if not line.startswith(" ")]
    assert marks == [[name, "✓"] for name in ("NATS", "EVENTS", "Redis", "workers", "web", "jobs")]


def test_without_workers_web_or_stream_it_says_so_and_fails(nats: Nats) -> None:
    shown = busctl("status", NATS_URL=nats.url)
    assert shown.returncode == 1
    assert "Redis does not answer" in shown.stderr
    assert "no worker answers; no web process answers" in shown.stderr
    assert "busctl doctor" in shown.stderr


def test_without_nats_what_redis_says_is_shown_all_the_same(servers: System) -> None:
    status, state = told(servers, NATS_URL="nats://127.0.0.1:1")
    assert (status, state["faults"]) == (1, ["NATS does not answer"])
    assert "127.0.0.1:1" in state["nats"]["error"]
    assert state["redis"]["error"] is None
