"""What each role of deploy/nats/permissions.conf may do and may not, tried at a server that has exactly these files."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nats as nats_py
import pytest

from testbed.roles import PASSWORDS, ROLES, RolesNats
from tests.raw_jetstream import settle

READERS = "web worker cli operator monitor"
PUBLISH = {
    "bus.client.cli.job.j": "web worker cli operator",
    "bus.client.ann.job.j": "web worker operator",
    "bus.client.ann.job.j.output": "worker",
    "bus.client.cli.job.j.output": "worker",
    "bus.client.ann.event": "",
    "bus.client.cli.event": "",
    "bus.group.system": "notify",
    "bus.group.others": "",
    "live.group.system": "",
    "live.client.ann.job.j": "",
    "progress.client.ann.j": "worker",
    "instance.i": "web worker cli operator",
    "reconciler.open-jobs": "web worker cli operator",
    "$KV.busctl-leases.i": "worker",
    "$KV.busctl-schedules.s": "worker",
    "$KV.others.k": "",
    **{f"_INBOX.{role}.x": "worker" if role in ("web", "worker", "cli", "operator") else "" for role in ROLES},
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
            refused.add((found[1], found[2]))

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
