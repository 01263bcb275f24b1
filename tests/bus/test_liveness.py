"""Who runs a job: whoever holds a lease, for as long as it is renewed, and whoever else listens."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats as nats_py
import pytest

from bus import Bus, NoLease, Settings, leases, liveness, subjects
from bus.liveness import Instance, Observer
from testbed.servers import Nats
from tests.deadlines import impatient_bus
from tests.raw_jetstream import settle


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


@pytest.fixture
async def instance(settings: Settings) -> AsyncIterator[Instance]:
    """A process that runs jobs."""
    async with Bus(settings) as bus:
        instance = Instance(bus, "worker-1")
        await instance.prove()
        yield instance
        await instance.close()


@pytest.fixture
async def eavesdropper(settings: Settings) -> AsyncIterator[None]:
    """Somebody who listens to everything and says nothing."""
    connection = await nats_py.connect(settings.nats_url)
    await connection.subscribe(">")
    await settle(connection)
    yield
    await connection.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that need no patience; the bucket keeps its age."""
    monkeypatch.setattr(liveness, "SETTLE", 1.0)
    monkeypatch.setattr(liveness, "SUSPECT_FOR", 0.1)


@pytest.mark.usefixtures("eavesdropper")
async def test_an_instance_says_which_jobs_it_runs_whoever_listens(bus: Bus, instance: Instance) -> None:
    assert instance.begin("job1", lambda: None)
    assert not instance.begin("job1", lambda: None)
    assert await liveness.is_running(bus, "worker-1", "job1")
    assert not await liveness.is_running(bus, "worker-1", "job2")
    assert await liveness.denies(bus, "worker-1", "job2")
    instance.end("job1")
    assert not await liveness.is_running(bus, "worker-1", "job1")


@pytest.mark.usefixtures("eavesdropper", "quick")
async def test_what_an_instance_gave_up_is_nobodys_at_once(bus: Bus, settings: Settings) -> None:
    async with Bus(settings) as other:
        instance = Instance(other, "worker-2")
        await instance.prove()
        instance.begin("job", lambda: None)
        await instance.close()
    assert not await liveness.is_running(bus, "worker-2", "job")


@pytest.mark.usefixtures("eavesdropper", "quick")
async def test_one_who_is_silent_may_still_run_its_jobs(bus: Bus, settings: Settings) -> None:
    await leases.declare(bus)
    await leases.put(bus, "frozen", b"")
    assert await liveness.is_running(bus, "frozen", "job")
    assert await liveness.is_running(bus, None, "job")
    assert not await liveness.denies(bus, "frozen", "job")


@pytest.mark.usefixtures("eavesdropper")
async def test_an_instance_is_told_of_a_cancel(bus: Bus, instance: Instance) -> None:
    told = asyncio.Event()
    instance.begin("job", told.set)
    assert await liveness.tell_cancelled(bus, "worker-1", "job")
    assert told.is_set()
    assert not await liveness.tell_cancelled(bus, "worker-1", "another")
    assert not await liveness.tell_cancelled(bus, None, "job")


@pytest.mark.usefixtures("quick")
async def test_an_instance_whose_lease_is_missing_at_two_looks_is_gone(bus: Bus, instance: Instance) -> None:
    observer = Observer()
    asked = {"worker-1", "never-seen"}
    assert await observer.look(bus, asked) == set()
    assert observer.suspects
    async with asyncio.timeout(20):
        while not (gone := await observer.look(bus, asked)):
            await asyncio.sleep(0.1)
    assert gone == {"never-seen"}


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_is_not_renewed_is_gone_after_its_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age = 2.0
    monkeypatch.setitem(leases.BUCKET.others, "duplicate_window", int(age * 1e9))
    monkeypatch.setitem(leases.BUCKET.essential, "max_age", int(age * 1e9))
    server = Nats(tmp_path)
    server.start()
    try:
        async with Bus(Settings.load(nats_url=server.url)) as bus:
            await leases.declare(bus)
            loop = asyncio.get_running_loop()
            observer, began = Observer(), loop.time()
            await leases.put(bus, "dead", b"")
            async with asyncio.timeout(30):
                while not await observer.look(bus, {"dead"}):
                    await asyncio.sleep(0.1)
            assert loop.time() - began >= age
    finally:
        server.kill()


async def test_after_nats_was_away_nobody_is_gone_until_the_living_had_time(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    settings = Settings.load(nats_url=server.url)
    observer = Observer()
    try:
        async with impatient_bus(settings, append_timeout=0.5) as bus, Bus(settings) as worker:
            instance = Instance(worker, "worker")
            await instance.prove()
            assert await observer.look(bus, {"worker"}) == set()
            server.kill()
            with pytest.raises(Exception, match=r"away|answer"):
                await observer.look(bus, {"worker"})
            await asyncio.sleep(liveness.RENEW_EVERY)
            server.start()
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert await observer.look(bus, {"worker"}) == set()
                        if not observer.suspects:
                            break
                    except (NoLease, liveness.BusUnavailable):
                        pass
                    await asyncio.sleep(0.1)
            await instance.close()
    finally:
        server.kill()


async def declare(url: str, **config: Any) -> None:
    connection = await nats_py.connect(url)
    answer = await connection.request(f"$JS.API.STREAM.CREATE.{subjects.LEASES}", json.dumps(config).encode())
    assert "error" not in json.loads(answer.data)
    await connection.close()


async def test_a_bucket_of_another_program_is_not_touched(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    foreign = {"name": subjects.LEASES, "subjects": [subjects.ALL_LEASES], "max_msgs_per_subject": 5}
    try:
        await declare(server.url, **foreign)
        async with Bus(Settings.load(nats_url=server.url)) as bus:
            with pytest.raises(NoLease, match=r"max_age is 0.*not touched"):
                await Instance(bus, "worker").prove()
            answer = json.loads(await bus.request(f"$JS.API.STREAM.INFO.{subjects.LEASES}", b"", timeout=5) or b"")
            assert answer["config"]["max_msgs_per_subject"] == 5
            assert answer["state"]["messages"] == 0
    finally:
        server.kill()


PERMISSIONS = """
jetstream {{ store_dir: "{store}" }}
authorization {{ users: [
  {{ user: all, password: all }}
  {{ user: few, password: few, permissions: {{
      publish: {{ deny: {publish} }}
      subscribe: {{ deny: {subscribe} }} }} }}
] }}
"""


@pytest.mark.parametrize(
    ("publish", "subscribe", "says"),
    [
        (["$KV.>"], [], r"may not publish \"\$KV.busctl-leases.worker\""),
        (["instance.*"], [], r"may not publish \"instance.worker\""),
        ([], ["instance.*"], r"may subscribe to instance.worker"),
        (["$JS.API.STREAM.*.KV_busctl-leases"], [], r"may not publish \"\$JS.API.STREAM.INFO.KV_busctl-leases\""),
    ],
)
async def test_one_who_cannot_prove_that_it_lives_says_which_permission_is_missing(
    tmp_path: Path, publish: list[str], subscribe: list[str], says: str
) -> None:
    config = tmp_path / "nats.conf"
    written = PERMISSIONS.format(store=tmp_path / "js", publish=json.dumps(publish), subscribe=json.dumps(subscribe))
    config.write_text(written)
    server = Nats(tmp_path, "-c", str(config), jetstream=False)
    server.start()
    try:
        async with Bus(Settings.load(nats_url=server.url.replace("//", "//few:few@"))) as bus:
            instance = Instance(bus, "worker")
            with pytest.raises(NoLease, match=says):
                await instance.prove()
            await instance.close()
    finally:
        server.kill()
