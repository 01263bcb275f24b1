"""Three NATS servers, two web processes and two workers on hosts of their own: whichever goes, no job is lost or twice.

What happens at random, in all ways: `make chaos CLUSTER=1`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError

from testbed.cluster import REDIS, Cluster, running_cluster
from testbed.planted import SECRET
from testbed.servers import Web, wait_until
from tests import http
from tests.clients import Client, Frame, client
from tests.e2e.watcher import ENDS, Watcher
from tests.own_jobs import install

JOBS = """
from pathlib import Path
from workers.registry import job, JobContext

@job
def tells(content: str, job: JobContext):
    "Write a word every 50 ms, ten or as many as it takes until the file of this name is there."
    number = 0
    while number < 10 or not Path(__file__).with_name(content).exists():
        yield f"{number} "
        number += 1
        if job.cancelled.wait(0.05):
            return
"""
OK = 200
TRY_AGAIN_LATER = 1013
ASK_AGAIN = 0.2
"""Seconds after which a client whose job was refused asks for it once more, with the same key."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with running_cluster(
        directory,
        login='authorization { user: "system", password: "p@ss" }',
        credentials="system:p%40ss@",
        BUS_SECRET=SECRET,
        BUS_RECONCILE_INTERVAL="1",
        BUS_VISIBILITY_TIMEOUT="5",
        PYTHONPATH=install(directory, JOBS),
    ) as cluster:
        for host in ("a", "b"):
            cluster.web(host)
            cluster.worker(host, "--concurrency", "1")
        yield cluster


@pytest.fixture(scope="module")
def web(cluster: Cluster) -> Web:
    """The web process on host a."""
    return cluster.webs["a"]


@pytest.fixture(scope="module")
def other_web(cluster: Cluster) -> Web:
    """The web process on host b."""
    return cluster.webs["b"]


ASKED_FOR: set[str] = set()
"""The contents of all jobs so far."""


@pytest.fixture(autouse=True)
def whole(cluster: Cluster) -> Iterator[None]:
    """Whatever the test has broken is mended after it, and its jobs end."""
    yield
    cluster.heal()
    let_end(cluster, *ASKED_FOR)


def let_end(cluster: Cluster, *contents: str) -> None:
    """Let the jobs with these contents end."""
    for content in contents:
        Path(cluster.settings["PYTHONPATH"], content).touch()


@asynccontextmanager
async def come_back(watcher: Watcher, web: Web) -> AsyncIterator[Client]:
    """Connect as clients do: again and again while the server says 1013, try again later."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                connected = await stack.enter_async_context(watcher.connect(web))
            except ConnectionClosedError as closed:
                if closed.rcvd is None or closed.rcvd.code != TRY_AGAIN_LATER:
                    raise
                await asyncio.sleep(ASK_AGAIN)
            else:
                break
        yield connected


async def submit(connected: Client, content: str) -> None:
    ASKED_FOR.add(content)
    await connected.submit("tells", content, key=content, ref=content)


async def accepted(watcher: Watcher, connected: Client, content: str) -> None:
    """Ask for a job as clients do, again and again under one key, until it is accepted."""
    while True:
        await submit(connected, content)
        while True:
            frame = await connected.receive(30)
            watcher.take(frame)
            if frame.get("ref") == content:
                break
        if frame["action"] in ("job_queued", "job_status"):
            return
        assert frame["payload"][0]["type"] == "bus_unavailable", frame
        await asyncio.sleep(ASK_AGAIN)


def told(watcher: Watcher) -> dict[str, str]:
    """By key of a job, its result, which its last attempt wrote piece by piece; and there is one end of each."""
    assert watcher.one_end_each()
    found: dict[str, str] = {}
    keys = {event["job_id"]: event.get("ref") for event in watcher.events if event["action"] == "job_queued"}
    for job_id, key in keys.items():
        events = [event for event in watcher.events if event.get("job_id") == job_id]
        end = events[-1]
        assert end["action"] == "job_result", events
        pieces: list[Frame] = [event for event in events if event["action"] == "job_output"]
        last = [piece for piece in pieces if piece["attempt"] == pieces[-1]["attempt"]]
        assert [piece["index"] for piece in last] == list(range(len(last)))
        assert "".join(piece["payload"] for piece in last) == end["payload"]
        found[str(key)] = end["payload"]
    return found


async def until_ended(watcher: Watcher, connected: Client, jobs: int) -> None:
    while sum(event["action"] in ENDS for event in watcher.events) < jobs:
        await watcher.see(connected, 60)


async def test_when_a_follower_is_lost_nobody_notices(cluster: Cluster, web: Web) -> None:
    lost = next(host for host, member in cluster.members.items() if not member.serves("busctl web"))
    await asyncio.to_thread(cluster.lead, next(host for host in cluster.members if host != lost))
    watcher = Watcher()
    async with come_back(watcher, web) as connected:
        await accepted(watcher, connected, "with three servers")
        cluster.members[lost].kill()
        await submit(connected, "with two servers")
        let_end(cluster, "with three servers", "with two servers")
        await until_ended(watcher, connected, 2)
    assert len(told(watcher)) == 2


async def test_a_minority_takes_nothing_says_so_and_heals(cluster: Cluster, web: Web, other_web: Web) -> None:
    await asyncio.to_thread(cluster.lead, "b")
    watcher, elsewhere = Watcher(), Watcher()
    async with come_back(watcher, web) as connected, come_back(elsewhere, other_web) as at_others:
        cluster.isolate("a", but_for=[REDIS])
        await submit(connected, "in vain")
        refusal = await connected.receive(20)
        assert (refusal["action"], refusal["payload"][0]["type"]) == ("error", "bus_unavailable")
        leaves = "this worker takes no tasks from Redis until it can use NATS"
        await asyncio.to_thread(wait_until, lambda: cluster.workers["a"].said(leaves), "worker that leaves tasks alone")
        where_most_are = [f"where most are {number}" for number in range(4)]
        for content in where_most_are:
            await accepted(elsewhere, at_others, content)
        let_end(cluster, *where_most_are)
        await until_ended(elsewhere, at_others, len(where_most_are))

        await asyncio.to_thread(wait_until, lambda: http.get(f"{web.url}/readyz")[0] == 503, "a web process not ready")
        said = http.get(f"{web.url}/readyz")[1]
        assert re.search(r"bus: (the stream EVENTS has|NATS at|the connection to NATS at) .*\nbroker: ok", said), said
        async with client(web.ws_url, subprotocols=["bus.v1"]) as new:
            payload = {"cursors": watcher.cursors, "resume": watcher.resume}
            await new.send({"action": "connect", "payload": payload})
            with pytest.raises(ConnectionClosedError, match=str(TRY_AGAIN_LATER)):
                await new.receive(20)

        cluster.network.mend()
        await accepted(watcher, connected, "in vain")  # which may have arrived after all, and is the same job then
        let_end(cluster, "in vain")
        await until_ended(watcher, connected, 1)
    assert len(told(elsewhere)) == len(where_most_are)
    assert len(told(watcher)) == 1


async def test_a_server_that_the_others_have_lost_is_left_for_one_that_they_follow(cluster: Cluster) -> None:
    parted = next(host for host, member in cluster.members.items() if member.serves("busctl web"))
    await asyncio.to_thread(cluster.lead, parted)  # it does not know yet that it leads nobody
    cluster.part(parted)
    left = cluster.members[parted]
    await asyncio.to_thread(wait_until, lambda: not left.serves("busctl web"), "move to another server")
    for web in cluster.webs.values():
        await asyncio.to_thread(wait_until, lambda url=web.url: http.get(f"{url}/readyz")[0] == OK, "ready web process")


async def test_the_host_of_the_leader_dies_with_a_web_process_and_a_worker(
    cluster: Cluster, web: Web, other_web: Web
) -> None:
    await asyncio.to_thread(cluster.lead, "a")
    watcher = Watcher()
    async with come_back(watcher, web) as connected:
        await accepted(watcher, connected, "one")
        await accepted(watcher, connected, "two")
        await watcher.see_until(connected, "job_output", 2)
        await asyncio.to_thread(cluster.kill, "a")
    async with come_back(watcher, other_web) as connected:
        await accepted(watcher, connected, "meanwhile")
        let_end(cluster, "one", "two", "meanwhile")
        await until_ended(watcher, connected, 3)
        await asyncio.to_thread(cluster.heal)
        await accepted(watcher, connected, "after")
        let_end(cluster, "after")
        await until_ended(watcher, connected, 4)
    assert len(told(watcher)) == 4


@pytest.mark.parametrize("with_data", [True, False], ids=["with its data", "without"])
async def test_redis_is_killed_and_started_again(cluster: Cluster, web: Web, with_data: bool) -> None:
    watcher = Watcher()
    async with come_back(watcher, web) as connected:
        await accepted(watcher, connected, f"running {with_data}")
        await watcher.see_until(connected, "job_output")
        cluster.valkey.kill()
        await accepted(watcher, connected, f"queued {with_data}")
        if not with_data:
            cluster.valkey.forget()
        await asyncio.to_thread(cluster.valkey.start)
        let_end(cluster, f"running {with_data}", f"queued {with_data}")
        await until_ended(watcher, connected, 2)
    assert len(told(watcher)) == 2
