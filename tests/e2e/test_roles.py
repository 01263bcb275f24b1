"""Every process and command works as the role it has in deploy/nats, and is told what it may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from subprocess import CompletedProcess
from typing import Any

import pytest

from testbed.roles import RolesSystem
from testbed.servers import Web
from tests import own_jobs
from tests.cli.background import background
from tests.cli.command import busctl
from tests.clients import client


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolesSystem]:
    directory = tmp_path_factory.mktemp("roles")
    system = RolesSystem(directory, PYTHONPATH=own_jobs.install(directory))
    try:
        system.start()
        system.worker("--concurrency", "2")
        yield system
        violations = [line for line in system.nats.output().splitlines() if "Violation" in line]
        assert violations  # of those who tried what they may not
        assert [line for line in violations if '"SYSTEM/' in line] == []
    finally:
        system.stop()


@pytest.fixture(scope="module")
def web(system: RolesSystem) -> Web:
    return system.web()


def as_role(system: RolesSystem, role: str, *arguments: str) -> CompletedProcess[str]:
    return busctl(*arguments, **system.of(role))


async def test_clients_and_announcements_work(system: RolesSystem, web: Web) -> None:
    async with client(web.ws_url) as ann:
        await ann.submit("default", "hello")
        ended = (await ann.receive_until("job_result"))[-1]
        assert ended["payload"] == "✅ Processed: HELLO"
        said = as_role(system, "notify", "notify", "hi")
        assert said.returncode == 0, said.stderr
        assert (await ann.receive_until("system_notification"))[-1]["payload"] == "hi"
    refused = as_role(system, "notify", "notify", "hi", "--group", "others")
    assert 'the NATS user "notify" may not publish "bus.group.others"' in refused.stderr


def test_commands_work(system: RolesSystem, web: Web) -> None:
    with background("watch", **system.of("monitor")) as watching:
        watching.note("watching")
        done = as_role(system, "cli", "submit", "default", "hello", "--wait")
        assert (done.returncode, done.stdout.strip()) == (0, "✅ Processed: HELLO"), done.stderr
        assert "queued" in watching.line()
    for role in ("cli", "operator", "monitor"):
        listed = as_role(system, role, "jobs", "--json")
        assert listed.returncode == 0, listed.stderr
        job = json.loads(listed.stdout.splitlines()[-1])
    again = as_role(system, "cli", "retry", job["job_id"])
    assert again.returncode == 0, again.stderr


def test_only_an_operator_cancels_the_job_of_another_client(system: RolesSystem, web: Web) -> None:
    job = as_role(system, "operator", "submit", "holds", "/nowhere", "--client", "ann").stdout.strip()
    refused = as_role(system, "cli", "cancel", job)
    assert refused.returncode == 1
    assert f'may not publish "bus.client.ann.job.{job}"' in refused.stderr
    cancelled = as_role(system, "operator", "cancel", job)
    assert cancelled.returncode == 0, cancelled.stderr
    submitted = as_role(system, "monitor", "submit", "default", "x")
    assert 'the NATS user "monitor" may not publish "bus.client.cli.job' in submitted.stderr


@pytest.mark.parametrize("role", ["operator", "monitor"])
def test_operators_see_how_the_system_stands(system: RolesSystem, web: Web, role: str) -> None:
    stands = json.loads(as_role(system, role, "status", "--json").stdout)
    assert (stands["ok"], stands["faults"]) == (True, [])
    assert (len(stands["web"]), len(stands["workers"])) == (1, 1)
    assert set(stands["open_jobs"]) == {"running", "queued", "waiting", "scheduled"}
    shown = as_role(system, role, "conns")
    assert shown.returncode == 0, shown.stderr


async def test_the_console_works(system: RolesSystem, web: Web) -> None:
    one, other = system.web(BUS_CONSOLE="local"), web
    async with client(one.ws_url.replace("/ws/system", "/ws/console")) as operator, client(other.ws_url) as ann:
        await ann.submit("default", "hello")
        [queued, *_] = await ann.receive_until("job_result")

        async def asked(action: str, payload: object = None) -> Any:
            await operator.send({"action": action, "payload": payload, "ref": action})
            while (frame := await operator.receive()).get("ref") != action:
                pass
            assert frame["action"] != "error", frame
            return frame["payload"]

        stands = await asked("get_system")
        assert (stands["ok"], stands["redis"]["queues"]) == (True, {"jobs": 0})
        assert stands["redis"]["taken"] in (0, 1)  # it may be acknowledged soon
        clients = {}
        for process in stands["web"]:  # this one and another one tell it
            [connection] = (await asked("get_connections", {"web": process["id"]}))["connections"]
            clients[int(process["pid"])] = connection["client_id"]
        client_id = clients[other.pid]
        assert (await asked("watch_job", {"client_id": client_id, "job_id": queued["job_id"]}))["events"]
        assert (await asked("announce", {"text": "to all", "group": "system"}))["seq"]
        assert (await asked("announce", {"text": "to one", "client_id": client_id}))["seq"]
    one.stop()


def test_a_doctor_finds_nothing_wrong(system: RolesSystem, web: Web) -> None:
    examined = as_role(system, "operator", "doctor", "--json")
    found = [json.loads(line) for line in examined.stdout.splitlines()]
    assert [check for check in found if check["state"] == "bad"] == []
    assert "as operator" in next(check["text"] for check in found if check["area"] == "permissions")
    assert any(check["area"] == "a job" and check["state"] == "good" for check in found)
    for role in ("cli", "monitor", "notify"):
        examined = as_role(system, role, "doctor", "--json")
        checks = [json.loads(line) for line in examined.stdout.splitlines()]
        lacking = [check["text"] for check in checks if check["area"] == "permissions" and check["state"] != "good"]
        assert lacking == [], role
