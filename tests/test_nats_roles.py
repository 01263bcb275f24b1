"""What each role of deploy/nats/permissions.conf may do and may not, tried at a server that has exactly these files."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import nats as nats_py
import pytest
from nats.aio.client import Client

from bus import Bus, Settings, job_log, subjects
from bus.job_log import JobRequest, JobState
from testbed.roles import PASSWORDS, ROLES, RolesNats
from tests.raw_jetstream import settle

READERS = "web worker cli operator monitor"
PUBLISH = {
    "bus.client.cli.job.j": "web worker cli operator",
    "bus.client.ann.job.j": "web worker operator",
    "bus.client.ann.job.j.output": "worker",
    "bus.client.cli.job.j.output": "worker",
    "bus.client.ann.event": "web",
    "bus.client.cli.event": "web",
    "bus.group.system": "web notify",
    "bus.group.others": "web",
    "live.group.system": "",
    "live.client.ann.job.j": "",
    "progress.client.ann.j": "worker",
    "instance.i": "web worker cli operator",
    "reconciler.open-jobs": "web worker cli operator monitor",
    "$SRV.PING": "operator monitor",
    "$SRV.STATS.busctl-web": "web operator monitor",
    "$SRV.STATS.busctl-web.i": "",
    "$SRV.PING.busctl-web": "",
    "web.i.connections": "web operator monitor",
    "worker.i.jobs": "",
    "$KV.busctl-leases.i": "worker",
    "$KV.busctl-schedules.s": "worker",
    "$KV.others.k": "",
    **{f"_INBOX.{role}.x": {"web": "web worker", "worker": "worker"}.get(role, "") for role in ROLES},
    "_R_.x": "web worker",
    "_INBOX.x": "",
    "$JS.API.STREAM.INFO.EVENTS": READERS,
    "$JS.API.STREAM.MSG.GET.EVENTS": READERS,
    "$JS.API.DIRECT.GET.EVENTS": READERS,
    "$JS.API.STREAM.CREATE.EVENTS": "web worker",
    "$JS.API.STREAM.UPDATE.EVENTS": "web worker",
    "$JS.API.STREAM.PURGE.EVENTS": "worker",
    "$JS.API.STREAM.DELETE.EVENTS": "",
    "$JS.API.STREAM.MSG.DELETE.EVENTS": "",
    "$JS.API.STREAM.RESTORE.EVENTS": "",
    "$JS.API.STREAM.SNAPSHOT.EVENTS": "",
    "$JS.API.STREAM.CREATE.others": "",
    "$JS.API.STREAM.INFO.others": "",
    "$JS.API.CONSUMER.CREATE.EVENTS": "",
    "$JS.API.STREAM.NAMES": "",
    "$JS.API.INFO": "",
    "$JS.API.STREAM.INFO.KV_busctl-leases": "worker monitor",
    "$JS.API.STREAM.MSG.GET.KV_busctl-leases": "worker monitor",
    "$JS.API.STREAM.CREATE.KV_busctl-leases": "worker",
    "$JS.API.STREAM.UPDATE.KV_busctl-leases": "",
    "$JS.API.STREAM.INFO.KV_busctl-schedules": "worker cli operator monitor",
    "$JS.API.STREAM.MSG.GET.KV_busctl-schedules": "worker cli operator monitor",
    "$JS.API.STREAM.CREATE.KV_busctl-schedules": "worker",
    "$JS.API.STREAM.DELETE.KV_busctl-schedules": "",
    "$SYS.REQ.SERVER.PING": "",
    "anything.else": "",
}
"""By subject, the roles that may publish there."""
SUBSCRIBE = {
    **{f"_INBOX.{role}.>": role for role in ROLES},
    "_INBOX.>": "",
    ">": "",
    "live.>": "cli operator monitor",
    "live.client.ann.>": "web cli operator monitor",
    "live.client.*.job.*": "web worker cli operator monitor",
    "live.group.system": "web cli operator monitor",
    "progress.client.ann.*": "web cli operator monitor",
    "instance.i": "worker",
    "reconciler.open-jobs": "worker",
    "$SRV.PING": "web worker",
    "$SRV.STATS.busctl-web": "web",
    "$SRV.STATS.busctl-web.i": "web",
    "$SRV.STATS.busctl-worker": "worker",
    "$SRV.>": "",
    "web.i.connections": "web",
    "worker.i.jobs": "worker",
    "bus.>": "",
    "bus.client.ann.job.j": "",
    "$KV.busctl-leases.>": "",
    "$JS.API.>": "",
    "$JS.EVENT.ADVISORY.>": "",
}
"""By subject, the roles that may subscribe it."""
VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolesNats]:
    server = RolesNats(tmp_path_factory.mktemp("roles"))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_the_table_says_and_nothing_else(nats: RolesNats, role: str) -> None:
    refused: set[tuple[str, str]] = set()

    async def on_error(error: Exception) -> None:
        if found := VIOLATION.search(str(error)):
            refused.add((found[1], subjects.as_asked(found[2])))

    connection = await nats_py.connect(nats.url, user=role, password=PASSWORDS[role], error_cb=on_error)
    for subject in PUBLISH:
        await connection.publish(subject)
    for subject in SUBSCRIBE:
        await connection.subscribe(subject)
    await settle(connection)
    await connection.close()
    wanted = {("publish", subject) for subject, roles in PUBLISH.items() if role not in roles.split()}
    wanted |= {("subscription", subject) for subject, roles in SUBSCRIBE.items() if role not in roles.split()}
    assert refused == {(verb, subject.lower()) for verb, subject in wanted}


@asynccontextmanager
async def logged_in(nats: RolesNats, role: str) -> AsyncIterator[Client]:
    connection = await nats_py.connect(nats.url, user=role, password=PASSWORDS[role], inbox_prefix=f"_INBOX.{role}")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def bus_of(nats: RolesNats, role: str) -> AsyncIterator[Bus]:
    async with Bus(Settings.load(nats_url=nats.url, nats_user=role, nats_password=PASSWORDS[role])) as bus:
        yield bus


async def job_of_ann(bus: Bus) -> JobState:
    request = JobRequest(task_type="default", job_type="default", content="x")
    return await job_log.create(bus.stream, "ann", request, job_id=job_log.new_job_id())


WISHES = (
    "bus.client.ann.job.{job}",
    "bus.group.system",
    "live.group.system",
    "$KV.busctl-leases.reconciler",
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.SYSTEM.API.STREAM.DELETE.EVENTS",
    "$JS.API.STREAM.PURGE.EVENTS",
)
"""Where an attacker would have an answer of NATS go."""


@pytest.mark.parametrize("role", ["cli", "monitor", "notify"])
async def test_no_answer_can_be_led_into_the_system(nats: RolesNats, role: str) -> None:
    async with bus_of(nats, "worker") as bus, logged_in(nats, role) as attacker, logged_in(nats, "cli") as other:
        job = await job_of_ann(bus)
        forged = {"action": "job_result", "payload": "forged", "job_id": job.job_id}
        own = [
            await other.request(f"bus.client.cli.job.{job.job_id}", data) for data in (json.dumps(forged).encode(), b"")
        ]
        found = [json.loads(answer.data)["seq"] for answer in own]
        before = await bus.stream.state()
        for wish in WISHES:
            reply = wish.format(job=job.job_id)
            for seq in found:
                data = json.dumps({"seq": seq}).encode()
                for subject in ("$JS.API.DIRECT.GET.EVENTS", "$JS.SYSTEM.API.DIRECT.GET.EVENTS"):
                    await attacker.publish(subject, data, reply=reply)
            await attacker.publish("$JS.API.STREAM.INFO.EVENTS", reply=reply)
            await attacker.publish("bus.group.system", b"{}", reply=reply)
        await settle(attacker)
        await bus.stream.append(subjects.output("ann", "j"), b"{}")  # NATS has looked at all before this
        assert (await job_log.read(bus.stream, "ann", job.job_id)).state == "job_queued"
        stored = [event.subject async for event in bus.stream.replay(">", after=before.last_seq)]
        said = ["bus.group.system"] * len(WISHES) if role == "notify" else []
        assert stored == [*said, subjects.output("ann", "j")]


async def test_a_tool_reads_a_long_history_and_hears_what_is_stored(nats: RolesNats) -> None:
    async with bus_of(nats, "worker") as bus, bus_of(nats, "monitor") as monitor:
        begin = (await monitor.stream.state()).last_seq
        await asyncio.gather(*(bus.stream.append(subjects.output("ann", "j"), b"{}") for _ in range(600)))
        assert len([stored async for stored in monitor.stream.replay("bus.>", after=begin)]) == 600
        async with monitor.follow("bus.>") as events, asyncio.timeout(10):
            stored = await job_of_ann(bus)
            assert (await anext(events)).seq == stored.seq
