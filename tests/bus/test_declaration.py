"""The stream is looked at before it is created; another's is not touched, and what an operator edits on ours stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from nats.aio.msg import Msg

from bus import Bus, BusError, BusUnavailable, Settings, StreamConflict, UnsupportedServer
from bus.stream_config import new_stream
from testbed.servers import Nats
from tests.raw_jetstream import RawJetStream, cluster, connected, nats_with, raw_jetstream, settle

WEEK = 7 * 86_400 * 10**9
OURS = {"src": "bus.>", "dest": "live.>"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def raw(server: Nats) -> AsyncIterator[RawJetStream]:
    async with raw_jetstream(server.url) as raw:
        yield raw


async def declare(url: str, *, update: bool = True, **settings: Any) -> None:
    async with Bus(Settings.load(nats_url=url, **settings), update_stream=update) as bus:
        await bus.ping()


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize(
    "theirs",
    [
        {"subjects": ["events.>"]},
        {"subjects": ["bus.>"]},
        {"subjects": ["bus.>", "more.>"], "republish": OURS},
        {"subjects": ["bus.>"], "republish": {"src": "bus.>", "dest": "copy.>"}},
        {"subjects": ["bus.>"], "republish": OURS | {"headers_only": True}},
        {"subjects": ["events.>"], "metadata": {"busctl.stream": "other"}},
        {"mirror": {"name": "ELSEWHERE"}},
    ],
)
async def test_a_stream_of_another_application_is_refused_and_not_touched(
    server: Nats, raw: RawJetStream, theirs: dict[str, Any], update: bool
) -> None:
    before = await raw.create(**theirs)
    for _ in range(3 if "subjects" in theirs else 0):
        await raw.connection.request(theirs["subjects"][0].replace(">", "x"), b"theirs", 5)
    stored = await raw.messages()
    assert stored >= (3 if "subjects" in theirs else 0)
    with pytest.raises(StreamConflict, match=r"belongs to another application.*nothing was changed"):
        await declare(server.url, update=update, stream_max_age=60)
    assert await raw.config() == before
    assert await raw.messages() == stored


async def test_a_stream_that_is_marked_as_ours_is_taken_over(server: Nats, raw: RawJetStream) -> None:
    await raw.create(subjects=["bus.group.>", "more.>"], metadata={"busctl.stream": "events", "by": "hand"})
    await declare(server.url)
    config = await raw.config()
    assert config["subjects"] == ["bus.>", "more.>"]
    assert config["republish"] == OURS
    assert config["metadata"]["by"] == "hand"


@pytest.mark.parametrize("update", [True, False])
async def test_what_an_operator_edits_stays(server: Nats, raw: RawJetStream, update: bool) -> None:
    await declare(server.url)
    edited = await raw.edit(
        max_age=WEEK,
        max_bytes=2**29,
        max_msgs=10**6,
        max_msg_size=10**6,
        description="ours",
        compression="s2",
        placement={},
        duplicate_window=10**9,
        deny_delete=True,
        allow_atomic=True,
        consumer_limits={"max_ack_pending": 9},
        subjects=["bus.>", "more.>"],
    )
    assert edited["compression"] == "s2"
    for _ in range(2):
        await declare(server.url, update=update)
    assert await raw.config() == edited


@pytest.mark.parametrize("edit", [{"deny_purge": True}, {"allow_msg_schedules": True}])
async def test_where_we_may_not_cut_the_stream_nats_does_and_that_is_said(
    server: Nats, raw: RawJetStream, edit: dict[str, bool]
) -> None:
    await declare(server.url)
    edited = await raw.edit(discard="old", **edit)
    with structlog.testing.capture_logs() as logs:
        await declare(server.url)
    assert await raw.config() == edited
    [said] = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert said.startswith("events that open jobs need can be pushed out of the stream")


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"discard": "old"}, "discard"),
        (
            {"discard_new_per_subject": True, "max_msgs_per_subject": 5},
            "max_msgs_per_subject",
        ),
        ({"allow_direct": False}, "allow_direct"),
        ({"no_ack": True}, "no_ack"),
        ({"republish": None}, "republish"),
        ({"republish": OURS | {"headers_only": True}}, "republish"),
        ({"subject_transform": {"src": "bus.>", "dest": "away.>"}, "republish": None}, "subject_transform"),
        ({"subjects": ["bus.group.>", "more.>"]}, "subjects"),
        ({"retention": "interest"}, "retention"),
    ],
)
async def test_what_a_guarantee_needs_is_corrected_and_said(
    server: Nats, raw: RawJetStream, edit: dict[str, Any], field: str, update: bool
) -> None:
    await declare(server.url)
    right = await raw.edit(max_age=WEEK, allow_rollup_hdrs=True)
    assert await raw.edit(**edit) != right
    with structlog.testing.capture_logs() as logs:
        await declare(server.url, update=update)
    [said] = [line for line in logs if line["log_level"] == "warning"]
    assert field in said["changed"]
    corrected = await raw.config()
    assert corrected["max_age"] == WEEK
    assert corrected["allow_rollup_hdrs"] is True
    expected = ["bus.>", "more.>"] if field == "subjects" else right.get(field)
    assert corrected.get(field) == expected


async def test_what_is_edited_while_processes_run_is_set_back_and_what_nobody_heard_is_read(
    server: Nats, raw: RawJetStream
) -> None:
    """Also by processes that did not see the edit before another one had set it back."""
    settings = Settings.load(nats_url=server.url)
    async with (
        asyncio.timeout(20),
        Bus(settings) as bus,
        Bus(settings, declare=False) as other,
        bus.follow("bus.group.edited") as events,
        other.follow("bus.group.edited") as events_of_other,
    ):
        await raw.edit(republish=None, allow_direct=False)
        seq = await other.stream.append("bus.group.edited", b"{}")
        assert [(await anext(each)).seq for each in (events, events_of_other)] == [seq, seq]
        config = await raw.config()
    assert (config["republish"], config["allow_direct"]) == (OURS, True)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"subjects": ["shop.>"], "republish": None, "metadata": {}}, "belongs to another application"),
        ({"sealed": True}, "is sealed"),
    ],
)
async def test_a_stream_that_can_be_used_no_more_is_said_while_processes_run(
    server: Nats, raw: RawJetStream, edit: dict[str, Any], said: str
) -> None:
    async with asyncio.timeout(20), Bus(Settings.load(nats_url=server.url)) as bus:
        trouble = asyncio.Event()
        bus.on_change = lambda works: None if works else trouble.set()
        edited = await raw.edit(**edit)
        await trouble.wait()
        with pytest.raises(StreamConflict, match=said):
            await bus.ping()
    assert await raw.config() == edited


async def test_a_correct_stream_is_not_written_to(server: Nats, raw: RawJetStream) -> None:
    await declare(server.url)
    writes: list[str] = []

    async def on_write(message: Msg) -> None:
        writes.append(message.subject)

    for verb in ("CREATE", "UPDATE"):
        await raw.connection.subscribe(f"$JS.API.STREAM.{verb}.EVENTS", cb=on_write)
    await settle(raw.connection)
    for _ in range(2):
        await declare(server.url)
        await declare(server.url, update=False, stream_max_age=60)
    await settle(raw.connection)
    assert writes == []


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        ({"storage": "memory"}, 'storage is "memory", needed is "file"'),
        ({"retention": "workqueue"}, "can not change retention policy"),
        ({"persist_mode": "async"}, "can not change persist mode"),
        ({"sealed": True}, "it is sealed"),
    ],
)
async def test_what_nats_will_not_change_is_refused_with_the_way_out(
    server: Nats, raw: RawJetStream, stream: dict[str, Any], reason: str
) -> None:
    sealed = stream.pop("sealed", False)
    await raw.create(**{**new_stream(Settings.load(stream_max_bytes=2**20)), **stream})
    before = await raw.edit(sealed=True) if sealed else await raw.config()
    with pytest.raises(StreamConflict, match=f"{reason}.*ove.* away"):
        await declare(server.url, stream_max_age=60)
    assert await raw.config() == before


async def test_a_changed_setting_reaches_the_stream_and_an_edit_stays(server: Nats, raw: RawJetStream) -> None:
    async def max_age(stream_max_age: float, *, update: bool = True) -> float:
        await declare(server.url, update=update, stream_max_age=stream_max_age)
        age: int = (await raw.config())["max_age"]
        return age / 10**9

    assert await max_age(500, update=False) == 500
    assert await max_age(700, update=False) == 500
    assert await max_age(700) == 700
    await raw.edit(max_age=600 * 10**9)
    assert await max_age(700) == 600
    assert await max_age(60) == 60  # less than the duplicate window of 120 s
    assert await max_age(700, update=False) == 60


async def test_a_stream_of_an_earlier_version_is_kept_as_it_is(server: Nats, raw: RawJetStream) -> None:
    old = new_stream(Settings.load(stream_max_age=500))
    del old["metadata"]
    await raw.create(**old)
    with structlog.testing.capture_logs() as logs:
        await declare(server.url, stream_max_age=900)
    [said] = [line for line in logs if "kept" in line["event"]]
    assert (said["settings"], said["max_age"]) == ("BUS_STREAM_MAX_AGE", 500 * 10**9)
    assert (await raw.config())["max_age"] == 500 * 10**9
    await declare(server.url, stream_max_age=800)
    assert (await raw.config())["max_age"] == 800 * 10**9


async def test_a_setting_that_nats_refuses_does_not_stop_a_running_system(server: Nats, raw: RawJetStream) -> None:
    await declare(server.url)
    with structlog.testing.capture_logs() as logs:
        await declare(server.url, stream_max_bytes=2**60)
    [said] = [line for line in logs if line["log_level"] == "warning"]
    assert "insufficient storage" in said["reason"]
    assert (await raw.config())["max_bytes"] == 2**30


async def test_room_is_reserved_once_and_only_by_who_creates_the_stream(tmp_path: Path) -> None:
    with nats_with(tmp_path, 'jetstream { store_dir: "DIR", max_file_store: 1500MB }', jetstream=False) as server:
        await asyncio.gather(*(declare(server.url) for _ in range(10)))
        async with raw_jetstream(server.url) as raw:
            await raw.ask("STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["o"], "max_bytes": 400_000_000})
            await declare(server.url)
            await raw.edit(allow_direct=False)
            await declare(server.url)
            assert (await raw.config())["allow_direct"] is True


async def declare_for_ever(url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            await declare(url, connect_timeout=3)


LIMITED = "accounts { J { jetstream: { %s }, users: [ { user: j, password: j } ] } }\nno_auth_user: j\n"
STORE = 'jetstream { store_dir: "DIR" }\n'


@pytest.mark.parametrize(
    ("config", "settings", "kind", "words"),
    [
        ("", {}, UnsupportedServer, "runs without JetStream.*-js"),
        (
            STORE + "accounts { A { users: [ { user: a, password: a } ] } }\nno_auth_user: a\n",
            {},
            UnsupportedServer,
            "account of this NATS user .* has no JetStream",
        ),
        (
            'jetstream { store_dir: "DIR", max_file_store: 500MB }',
            {},
            StreamConflict,
            "BUS_STREAM_MAX_BYTES = 1073741824.*max_file_store",
        ),
        (STORE + LIMITED % "max_file: 500MB", {}, StreamConflict, "BUS_STREAM_MAX_BYTES.*max_file"),
        (STORE + LIMITED % "disk_max_stream_bytes: 500MB", {}, StreamConflict, "BUS_STREAM_MAX_BYTES"),
        (STORE + LIMITED % "max_streams: 1", {}, StreamConflict, "max_streams"),
        (STORE, {"stream_replicas": 3}, StreamConflict, "BUS_STREAM_REPLICAS = 3 needs as many servers"),
    ],
)
async def test_why_there_can_be_no_stream_is_named_with_the_setting(
    tmp_path: Path, config: str, settings: dict[str, Any], kind: type[BusError], words: str
) -> None:
    with nats_with(tmp_path, config, jetstream=False) as server:
        if "max_streams" in config:
            async with connected(server.url) as other:
                await other.ask("STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["other"]})
        with pytest.raises(kind, match=words):
            await declare(server.url, **settings)


async def test_another_stream_on_our_subjects_is_named(server: Nats, raw: RawJetStream) -> None:
    await raw.ask("STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["bus.group.>"], "max_bytes": 1000})
    with pytest.raises(StreamConflict, match="Another stream stores subjects of bus"):
        await declare(server.url)


async def test_a_cluster_without_a_leader_is_waited_for_and_named(tmp_path: Path) -> None:
    with cluster(tmp_path) as servers:
        servers[0].start()
        url = servers[0].url
        with pytest.raises(BusUnavailable, match=r"could not declare the stream EVENTS within \d\.\d s: .*cluster"):
            await declare(url, connect_timeout=2)
        waiting = asyncio.create_task(declare(url, stream_replicas=3, connect_timeout=60))
        for server in servers[1:]:
            await asyncio.to_thread(server.start)
        await waiting

        # A cluster says that an append is still on its way where a single server would say who was first.
        async with Bus(Settings.load(nats_url=url, append_timeout=10)) as bus:
            appends = [bus.stream.append("bus.group.race", b"{}", expected_last=0) for _ in range(30)]
            outcomes = await asyncio.gather(*appends, return_exceptions=True)
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AppendRefused"] * 29 + ["int"]
            repeats = [bus.stream.append("bus.group.twice", b"{}", expected_last=0, message_id="m") for _ in range(9)]
            assert len(set(await asyncio.gather(*repeats))) == 1

        async with connected(url) as operator:
            for server in servers[1:]:
                server.kill()
            # A leader that lost its followers leads on for ten seconds unless it is told not to.
            with suppress(TimeoutError):
                await operator.connection.request("$JS.API.STREAM.LEADER.STEPDOWN.EVENTS", b"", 1)
        with pytest.raises(BusUnavailable, match=r"has no leader; .*: n0, n1, n2|no answer"):
            await declare_for_ever(url)
        for server in servers[1:]:
            server.start()
        await declare(url, connect_timeout=60)
