"""busctl watch: every event once, in order, whatever happens to NATS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats as nats_py
import pytest

from bus import Bus, Settings, SystemNotification, job_log, subjects, times
from bus.job_log import JobRequest, JobState
from testbed.servers import BIN, Nats
from tests.cli.background import Background, background
from tests.cli.command import DEADLINE, busctl
from tests.raw_jetstream import settle


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


@contextmanager
def watching(nats: Nats, *arguments: str) -> Iterator[Background]:
    with background("watch", *arguments, NATS_URL=nats.url) as watch:
        watch.note("watching")
        yield watch


async def queued(bus: Bus, client_id: str) -> JobState:
    request = JobRequest(task_type="default", job_type="default", content="hi")
    return await job_log.create(bus.stream, client_id, request, job_id=job_log.new_job_id())


def notification(text: str) -> SystemNotification:
    return SystemNotification(payload=text)


async def test_events_of_all_clients_and_groups_are_shown_in_order(nats: Nats, bus: Bus) -> None:
    with watching(nats, "--json") as watch:
        job = await queued(bus, "ann")
        await job_log.carry(bus.stream, "ann", job.job_id)  # which is no news
        [seq] = await bus.broadcast_event(notification("hi"), ["staff"])
        first, second = json.loads(watch.line()), json.loads(watch.line())
        watch.interrupt()
        assert "after 2 events" in watch.note("interrupted")
        assert watch.end() == 130
    assert first == first | {"action": "job_queued", "client_id": "ann", "job_id": job.job_id, "seq": job.seq}
    assert second == {
        "action": "system_notification",
        "payload": "hi",
        "group": "staff",
        "seq": seq,
        "at": second["at"],
    }


async def test_for_people_an_event_is_one_safe_line(nats: Nats, bus: Bus) -> None:
    with watching(nats, "--group", "lines") as watch:
        await bus.broadcast_event(notification("[red]two[/red]\nlines \x1b[2J\u202e"), ["lines"])
        line = watch.line()
    assert line.split(maxsplit=3)[1:] == ["lines", "notification", r"[red]two[/red] lines \x1b[2J\u202e"]


async def test_an_announcement_is_shown_with_its_level_until_it_expires(nats: Nats, bus: Bus) -> None:
    now = datetime.now(UTC)
    expired, later = (times.written(now + timedelta(hours=hours)) for hours in (-1, 1))
    with watching(nats, "--group", "levels") as watch:
        for event in (
            SystemNotification(payload="over", expires_at=expired),
            SystemNotification(payload="careful", level="warning", expires_at=later),
            SystemNotification(payload="now", level="critical"),
            SystemNotification(payload="by the way", level="info"),
        ):
            await bus.broadcast_event(event, ["levels"])
        odd = {"action": "system_notification", "payload": "odd", "level": ["loud"], "expires_at": 1}
        await bus.stream.append(subjects.group("levels"), json.dumps(odd).encode())
        shown = [watch.line().split(maxsplit=3)[3] for _ in range(4)]
    assert shown == ["Warning: careful", "Critical: now", "by the way", "odd"]


async def test_it_can_be_narrowed(nats: Nats, bus: Bus) -> None:
    job = await queued(bus, "narrow")
    with (
        watching(nats, "--json", "--client", "narrow") as of_client,
        watching(nats, "--json", "--group", "narrow") as of_group,
        watching(nats, "--json", "--job", job.job_id) as of_job,
    ):
        await queued(bus, "other")
        await bus.broadcast_event(notification("other"), ["other"])
        one = await bus.send_event(notification("to the client"), "narrow")
        [two] = await bus.broadcast_event(notification("to the group"), ["narrow"])
        three = (await job_log.cancel(bus.stream, "narrow", job.job_id)).seq
        assert [json.loads(of_client.line())["seq"] for _ in range(2)] == [one, three]
        assert json.loads(of_group.line())["seq"] == two
        assert [json.loads(of_job.line())["seq"] for _ in range(2)] == [job.seq, three]


async def test_what_is_no_event_is_shown_too(nats: Nats, bus: Bus) -> None:
    with watching(nats, "--json", "--client", "odd") as watch:
        for data in (b"\xff", b"[1]", b"[" * 100_000, b'{"action": 7}', b'{"action": "new", "self": {"a": 1}}'):
            await bus.stream.append(subjects.client_event("odd"), data)
        actions = [json.loads(watch.line())["action"] for _ in range(5)]
    assert actions == ["unreadable"] * 4 + ["new"]


async def test_nothing_is_lost_or_doubled_when_nats_goes_away_and_comes_back(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    stored = []
    try:
        with watching(server, "--json") as watch:
            for outage in range(3):
                async with Bus(Settings.load(nats_url=server.url)) as bus:
                    stored += [await bus.send_event(notification(str(outage)), "ann") for _ in range(300)]
                if outage:
                    watch.note("NATS is back")
                server.kill()
                watch.note("NATS is away")
                server.start()
            async with Bus(Settings.load(nats_url=server.url)) as bus:
                stored.append(await bus.send_event(notification("last"), "ann"))
            assert [json.loads(watch.line())["seq"] for _ in stored] == stored
            watch.note("NATS is back")
            watch.interrupt()
            assert watch.end() == 130
    finally:
        server.kill()


async def test_a_forged_live_message_is_not_shown_and_hides_nothing(nats: Nats, bus: Bus) -> None:
    group = "forged"
    told = {
        "Nats-Stream": subjects.STREAM,
        "Nats-Subject": subjects.group(group),
        "Nats-Time-Stamp": "2026-01-02T03:04:05Z",
    }
    other = await nats_py.connect(nats.url)
    with watching(nats, "--json", "--group", group) as watch:
        for seq in (str(2**62), "9" * 5000, "-1", "1"):
            await other.publish(subjects.live(subjects.group(group)), b"{}", headers=told | {"Nats-Sequence": seq})
        await settle(other)
        await bus.broadcast_event(notification("real"), [group])
        assert json.loads(watch.line())["payload"] == "real"
        await bus.broadcast_event(notification("again"), [group])
        assert json.loads(watch.line())["payload"] == "again"
    await other.close()


async def test_a_stream_that_was_made_anew_is_followed_from_its_first_event(tmp_path: Path) -> None:
    old, new = Nats(tmp_path / "old"), Nats(tmp_path / "new")
    new.port = old.port
    for server in (old, new):
        server.directory.mkdir()
    old.start()
    try:
        with watching(old, "--json") as watch:
            async with Bus(Settings.load(nats_url=old.url)) as bus:
                for _ in range(3):
                    await bus.send_event(notification("old"), "ann")
            assert [json.loads(watch.line())["seq"] for _ in range(3)] == [1, 2, 3]
            old.kill()
            watch.note("NATS is away")
            new.start()
            async with Bus(Settings.load(nats_url=old.url)) as bus:
                await bus.send_event(notification("new"), "ann")
            watch.note("the stream was made anew")
            event = json.loads(watch.line())
            assert (event["seq"], event["payload"]) == (1, "new")
    finally:
        old.kill()
        if new.process is not None:
            new.kill()


async def test_it_ends_when_nobody_reads_its_output_any_more(nats: Nats, bus: Bus) -> None:
    watch = subprocess.Popen(  # noqa: ASYNC220
        [BIN / "busctl", "watch", "--json", "--client", "pipe"],
        env=os.environ | {"NATS_URL": nats.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        assert watch.stderr is not None
        watch.stdout.close()
        assert "watching" in watch.stderr.readline()
        await bus.send_event(notification("unread"), "pipe")
        assert watch.wait(DEADLINE) == 1
        assert watch.stderr.read() == ""
    finally:
        watch.kill()
        watch.wait(DEADLINE)
        watch.stderr.close()


def test_wrong_usage_exits_with_2() -> None:
    both = busctl("watch", "--group", "a", "--client", "b")
    assert both.returncode == 2
    assert "--group goes with neither" in both.stderr
    assert busctl("watch", "--job", "a.b").returncode == 2


def test_without_nats_it_fails_and_names_the_server() -> None:
    failed = busctl("watch", "--timeout", "0.5")
    assert failed.returncode == 1
    assert "nats://127.0.0.1:1" in failed.stderr
