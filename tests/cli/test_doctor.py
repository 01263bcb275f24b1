"""busctl doctor: what is wrong is named, with what to do about it, in as many broken systems as can be thought of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Bus, Settings, subjects
from cli.doctor.check import Check, State
from cli.doctor.examine import examine
from cli.doctor.permissions import NEEDED, ROLES, Permission, check_permissions, missing, roles_of
from cli.doctor.servers import check_clocks
from testbed.roles import DEPLOY
from testbed.servers import Nats, Valkey
from tests.cli.command import busctl
from tests.cli.doctor_clinic import clinic, lacking, old_nats, url
from tests.nkeys import USER, Key
from tests.raw_jetstream import cluster, connected, nats_with
from workers.state.nats_state import NatsState, StreamState
from workers.state.redis_state import RedisState
from workers.state.system import SystemState, observer

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with clinic(tmp_path_factory.mktemp("clinic")) as server:
        yield server


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    valkey = Valkey(tmp_path_factory.mktemp("valkey"))
    valkey.start()
    yield valkey
    valkey.kill()


def settings(nats: str, redis: str = NOWHERE) -> Settings:
    return Settings.load(nats_url=nats, redis_url=redis, connect_timeout=1.2)


async def found(nats: str, redis: str = NOWHERE) -> dict[str, list[Check]]:
    """What is not good, by area."""
    checks = await examine(settings(nats, redis))
    areas = {check.area for check in checks if check.state != State.GOOD}
    assert all(check.remedy for check in checks if check.state != State.GOOD)
    return {area: [check for check in checks if check.area == area] for area in areas}


async def the_fault(area: str, nats: str, redis: str = NOWHERE) -> str:
    """The text of what is broken there, which is one thing."""
    [check] = (await found(nats, redis))[area]
    assert check.state == State.BAD
    return check.text


async def test_a_wrong_port() -> None:
    assert "no NATS server answered at nats://127.0.0.1:1" in await the_fault("NATS", "nats://127.0.0.1:1")


async def test_an_old_nats() -> None:
    async with old_nats() as address:
        assert "is 2.9.25; 2.11 or newer is needed" in await the_fault("NATS", address)


async def test_nats_without_jetstream(tmp_path: Path) -> None:
    with nats_with(tmp_path, "", jetstream=False) as server:
        assert "runs without JetStream" in await the_fault("NATS", server.url)


async def test_a_cluster_that_has_no_leader(tmp_path: Path) -> None:
    with cluster(tmp_path) as servers:
        servers[0].start()
        assert "leader" in await the_fault("stream", servers[0].url)


async def test_a_wrong_password(server: Nats) -> None:
    [check] = (await found(url(server, "whole", "wrong")))["NATS"]
    assert "authorization violation" in check.text
    assert "password" in check.remedy
    assert "wrong" not in check.text


async def test_an_account_without_jetstream(server: Nats) -> None:
    assert "the account of this NATS user" in await the_fault("stream", url(server, "without"))


async def test_an_account_that_is_too_small(server: Nats) -> None:
    assert "BUS_STREAM_MAX_BYTES" in await the_fault("stream", url(server, "small"))


async def test_a_stream_of_another_application(server: Nats) -> None:
    address = url(server, "foreign")
    async with connected(address) as raw:
        before = await raw.create(subjects=["orders.>"])
        assert "belongs to another application (its subjects: orders.>)" in await the_fault("stream", address)
        assert await raw.config() == before


async def test_a_stream_that_was_edited_and_does_not_keep_what_delivery_rests_on(server: Nats) -> None:
    address = url(server, "whole")
    async with Bus(settings(address)), connected(address) as raw:
        good = await raw.edit(max_msgs_per_subject=5)
    assert "max_msgs_per_subject is 5; needed is max_msgs_per_subject -1" in await the_fault("stream", address)
    async with connected(address) as raw:
        assert await raw.config() == good  # a doctor looks
        await raw.edit(max_msgs_per_subject=-1)


async def test_a_stream_that_nats_itself_cuts(server: Nats) -> None:
    address = url(server, "whole")
    async with Bus(settings(address)), connected(address) as raw:
        await raw.edit(deny_purge=True, discard="old")
    [check] = (await found(address))["stream"]
    assert "NATS itself cuts it" in check.text
    async with connected(address) as raw:
        await raw.ask(f"STREAM.DELETE.{subjects.STREAM}")  # NATS does not take it back


@pytest.mark.parametrize("permission", NEEDED, ids=lambda each: f"{each.verb} {each.pattern}")
async def test_each_permission_that_is_missing_is_named(server: Nats, permission: Permission) -> None:
    role = min(permission.roles)
    async with observer(settings(url(server, lacking(permission))), "doctor") as bus:
        [check] = await check_permissions(bus, bus.settings, (role,))
    assert f"may not {permission.verb} {permission.pattern}, needed by {role}" in check.text


def covers(allowed: str, subject: str) -> bool:
    """Whether all that a subject with wildcards stands for is allowed by another one."""
    ours, theirs = allowed.split("."), subject.split(".")
    for number, token in enumerate(ours):
        if token == ">":
            return len(theirs) > number
        if len(theirs) <= number or theirs[number] == ">" or token not in ("*", theirs[number]):
            return False
    return len(ours) == len(theirs)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("verb", ["publish", "subscribe"])
def test_what_is_tried_is_what_a_role_may(role: str, verb: str) -> None:
    found = re.search(
        rf"{role}_may = {{.*?{verb} = \[(.*?)\]", (DEPLOY / "nats/permissions.conf").read_text(), re.DOTALL
    )
    assert found is not None
    may = [each.replace("$JS.SYSTEM.API", "$JS.API") for each in re.findall('"(.*?)"', found[1])]
    needed = [each.pattern for each in NEEDED if role in each.roles and each.verb == verb]
    assert [each for each in needed if not any(covers(allowed, each) for allowed in may)] == []
    idle = [each for each in may if not any(covers(each, one) for one in needed)]
    assert [each for each in idle if not each.startswith(("_INBOX.", "_R_."))] == []


def test_the_role_is_known_by_any_login(tmp_path: Path) -> None:
    seed = tmp_path / "operator.nk"
    seed.write_text(Key(USER).seed)
    assert roles_of(Settings.load(nats_url="nats://monitor:x@h")) == ("monitor",)
    assert roles_of(Settings.load(nats_user="web", nats_password="x")) == ("web",)
    assert roles_of(Settings.load(nats_nkey=str(seed), nats_inbox_prefix="_INBOX.operator")) == ("operator",)
    assert roles_of(Settings.load(nats_nkey=str(seed))) == roles_of(Settings.load(nats_user="u", nats_password="x"))


async def test_a_user_that_hears_no_answers(server: Nats) -> None:
    text = await the_fault("permissions", url(server, "deaf"))
    assert text.startswith("the NATS user may not subscribe _INBOX.")


async def test_trying_permissions_changes_nothing(server: Nats) -> None:
    address = url(server, "whole")
    async with Bus(settings(address)) as bus, connected(address) as raw:
        stored = await bus.stream.append(subjects.job("cli", "before"), b"{}")
        before = await raw.config()
        assert await missing(bus, ("web", "worker", "operator", "cli", "notify", "monitor")) == {}
        assert (await bus.stream.state()).last_seq == stored
        assert await raw.config() == before
        assert await raw.messages() == 1


async def test_redis_away_and_no_worker(server: Nats) -> None:
    faults = await found(url(server, "whole"))
    assert "does not answer" in faults["Redis"][0].text
    assert faults["workers"][0].text == "none answers, so no job runs"
    assert "busctl worker" in faults["workers"][0].remedy


@pytest.mark.parametrize(
    ("change", "back", "said", "remedy"),
    [
        (("replicaof", "127.0.0.1", "1"), ("replicaof", "no", "one"), "READONLY|read only", "to the master"),
        (("config", "set", "maxmemory", "1"), ("config", "set", "maxmemory", "0"), "OOM|maxmemory", "raise maxmemory"),
        (
            ("config", "set", "maxmemory-policy", "allkeys-lru"),
            ("config", "set", "maxmemory-policy", "noeviction"),
            "evicts keys",
            "noeviction",
        ),
        (("set", "busctl.system", "others"), ("del", "busctl.system"), "belongs to another system", "BUS_REDIS_PREFIX"),
        (("config", "set", "requirepass", "x"), None, "asks for a user and password", "REDIS_URL"),
    ],
    ids=["a replica", "full", "evicts", "another system's", "a password"],
)
async def test_a_redis_that_is_there_and_of_no_use(
    server: Nats, valkey: Valkey, change: tuple[str, ...], back: tuple[str, ...] | None, said: str, remedy: str
) -> None:
    with valkey.client() as client:
        client.execute_command(*change)
        try:
            checks = (await found(url(server, "whole"), valkey.url))["Redis"]
        finally:
            client.execute_command(*(back or ("config", "set", "requirepass", "")))
    [check] = [check for check in checks if check.state != State.GOOD]
    assert any(part in check.text for part in said.split("|"))
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        ((0.4, -0.9), None),
        ((7.0, 0.0), "NATS is 7.0 s ahead of this machine"),
        ((0.0, -90.0), "Redis is 90.0 s behind this machine"),
        ((-30.0, -30.1), "this machine's clock differs from all others by 30.0 s"),
    ],
)
def test_clocks_that_differ(ahead: tuple[float, float], said: str | None) -> None:
    nats = NatsState("nats://n", stream=StreamState(ahead=ahead[0]))
    [check] = check_clocks(SystemState(nats, RedisState("redis://r", ahead=ahead[1])))
    assert (check.state, said or "agree") == (State.GOOD if said is None else State.UNSURE, said or "agree")
    assert (said or "agree") in check.text


async def test_the_clocks_of_real_servers_are_read(server: Nats, valkey: Valkey) -> None:
    checks = await examine(settings(url(server, "whole"), valkey.url))
    [clock] = [check for check in checks if check.area == "clock"]
    assert clock.text == "NATS, Redis agree with this machine"


def test_a_setting_that_cannot_be_used_and_one_that_is_none() -> None:
    shown = busctl("doctor", BUS_MAX_FRAME_BYTES="lots")
    assert shown.returncode == 1
    assert "✗ settings" in shown.stdout
    assert "BUS_MAX_FRAME_BYTES" in shown.stdout
    assert "is BUS_SECRET meant?" in busctl("doctor", "--timeout", "0.1", BUS_SECRT="x").stdout


def test_an_unknown_role_is_wrong_usage() -> None:
    assert busctl("doctor", "--role", "king").returncode == 2
