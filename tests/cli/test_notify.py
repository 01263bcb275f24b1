"""busctl notify: exit 0 only for what the stream has acknowledged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus import Bus, Settings, client_ids, times
from testbed.servers import Nats
from tests.cli.background import background
from tests.cli.command import busctl, started_busctl


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


async def stored(bus: Bus, seq: int) -> tuple[str, dict[str, object]]:
    event = await bus.stream.first("bus.>", seq=seq)
    assert event is not None
    assert event.seq == seq
    return event.subject, json.loads(event.data)


def in_an_hour() -> str:
    return times.written(datetime.now(UTC) + timedelta(hours=1))


def records(printed: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in printed.splitlines()]


async def test_what_it_says_is_stored_is_stored(nats: Nats, bus: Bus) -> None:
    sent = busctl("notify", "hi ✓ [bold]all[/bold]", "--json", NATS_URL=nats.url)
    assert sent.returncode == 0, sent
    [record] = records(sent.stdout)
    seq = record["seq"]
    assert isinstance(seq, int)
    expected = {"action": "system_notification", "payload": "hi ✓ [bold]all[/bold]"}
    assert record == {"event": "stored", "n": 1, "of": 1, "group": "system", "seq": seq, **expected}
    assert await stored(bus, seq) == ("bus.group.system", expected)


async def test_to_one_client_with_a_level_and_an_expiry(nats: Nats, bus: Bus) -> None:
    said = ("notify", "hi", "--client", "ann", "--level", "critical", "--expires", "10m", "--json")
    sent = busctl(*said, NATS_URL=nats.url)
    assert sent.returncode == 0, sent
    [record] = records(sent.stdout)
    seq = record["seq"]
    assert isinstance(seq, int)
    subject, frame = await stored(bus, seq)
    assert subject == "bus.client.ann.event"
    assert frame == {
        "action": "system_notification",
        "payload": "hi",
        "level": "critical",
        "expires_at": frame["expires_at"],
    }
    left = times.read(str(frame["expires_at"])) - datetime.now(UTC)
    assert timedelta(minutes=5) < left <= timedelta(minutes=10)
    assert record == {"event": "stored", "n": 1, "of": 1, "client_id": "ann", "seq": seq, **frame}


async def test_to_one_user_whatever_the_users_name(nats: Nats, bus: Bus) -> None:
    sent = busctl("notify", "hi", "--user", "auth0|ann", "--json", NATS_URL=nats.url)
    assert sent.returncode == 0, sent
    [record] = records(sent.stdout)
    seq = record["seq"]
    assert isinstance(seq, int)
    assert record["client_id"] == client_ids.of_user("auth0|ann")
    assert (await stored(bus, seq))[0] == f"bus.client.{record['client_id']}.event"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--level", "loud"), "'loud' is no level; use one of info, warning, critical"),
        (("--expires", "-10m"), "-10m is neither a duration"),
        (("--expires", "0s"), "0s is over when"),
        # The first would be in time, and the last would not.
        (("--expires", in_an_hour(), "--repeat", "3", "--interval", "3600"), "is over when"),
        (("--group", "staff", "--client", "ann"), "give one of them"),
        (("--user", ""), "the name of the user is empty"),
        (("--client", "a.b"), "a.b"),
    ],
)
def test_wrong_usage_exits_with_2_before_anything_is_sent(arguments: tuple[str, ...], reason: str) -> None:
    refused = busctl("notify", "hi", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert reason in refused.stderr


async def test_repeat_and_group(nats: Nats, bus: Bus) -> None:
    sent = busctl("notify", "hi", "--repeat", "3", "--interval", "0", "--group", "staff", "--json", NATS_URL=nats.url)
    assert sent.returncode == 0, sent
    shown = records(sent.stdout)
    assert [(record["n"], record["of"], record["group"]) for record in shown] == [(n, 3, "staff") for n in (1, 2, 3)]
    sequences = [record["seq"] for record in shown]
    assert sequences == sorted(sequences)
    assert (await stored(bus, sequences[-1]))[0] == "bus.group.staff"


def test_for_people_each_one_is_a_line(nats: Nats) -> None:
    sent = busctl("notify", "hi", "--repeat", "2", "--interval", "0", NATS_URL=nats.url)
    first, one, two, last = sent.stdout.splitlines()
    assert first == "Sending to group system: hi"
    assert one.startswith("  1/2 ✓ stored as event ")
    assert two.startswith("  2/2 ✓ stored as event ")
    assert last == "All 2 sent."


async def test_control_characters_are_sent_as_they_are_and_shown_escaped(nats: Nats, bus: Bus) -> None:
    message = "red\x1b[31m\x07\n\u202etxt [red]x[/red]"
    sent = busctl("notify", message, NATS_URL=nats.url)
    assert sent.stdout.splitlines()[0] == r"Sending to group system: red\x1b[31m\x07 \u202etxt [red]x[/red]"
    seq = int(sent.stdout.splitlines()[1].rpartition(" ")[2])
    assert (await stored(bus, seq))[1]["payload"] == message


def test_for_people_it_says_to_whom_and_as_what(nats: Nats) -> None:
    sent = busctl("notify", "hi", "--client", "ann", "--level", "warning", "--expires", "1h", NATS_URL=nats.url)
    first, second, _ = sent.stdout.splitlines()
    assert first == "Sending to client ann as warning: hi"
    assert "stored as event" in second
    assert ", shown until 2" in second


def test_quiet_prints_nothing(nats: Nats) -> None:
    sent = busctl("notify", "hi", "-q", NATS_URL=nats.url)
    assert (sent.returncode, sent.stdout, sent.stderr) == (0, "", "")


def test_the_server_option_wins_over_the_environment(nats: Nats) -> None:
    assert busctl("notify", "hi", "-s", nats.url).returncode == 0


def test_a_terminal_of_another_encoding_shows_what_it_can(nats: Nats) -> None:
    sent = started_busctl("notify", "grüße ✓", NATS_URL=nats.url, PYTHONIOENCODING="ascii")
    assert sent.returncode == 0, sent
    assert "gr??e ?" in sent.stdout


def test_without_nats_it_fails_and_names_the_server() -> None:
    failed = busctl("notify", "hi", "--timeout", "0.5")
    assert failed.returncode == 1
    assert "nats://127.0.0.1:1" in failed.stderr
    assert "0 of 1 sent" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    try:
        server.pause()
        failed = busctl("notify", "hi", "--timeout", "0.5", NATS_URL=server.url)
    finally:
        server.kill()
    assert failed.returncode == 1
    assert "did not answer" in failed.stderr or "no NATS server answered" in failed.stderr


def test_a_message_larger_than_the_server_takes_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "small.conf"
    config.write_text("max_payload: 1024\n")
    server = Nats(tmp_path, "-c", str(config))
    server.start()
    try:
        failed = busctl("notify", "x" * 2000, NATS_URL=server.url)
    finally:
        server.kill()
    assert failed.returncode == 1
    assert "takes at most 1024" in failed.stderr


def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    server = Nats(tmp_path, jetstream=False)
    server.start()
    try:
        failed = busctl("notify", "hi", NATS_URL=server.url)
    finally:
        server.kill()
    assert failed.returncode == 1
    assert "JetStream" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_group_that_is_no_name_is_refused(nats: Nats) -> None:
    failed = busctl("notify", "hi", "--group", "a.b", NATS_URL=nats.url)
    assert failed.returncode == 2
    assert "a.b" in failed.stderr


def test_interrupted_it_says_how_many_were_sent(nats: Nats) -> None:
    many = ("notify", "hi", "--repeat", "9", "--interval", "3600", "--json")
    with background(*many, NATS_URL=nats.url) as unfinished:
        assert json.loads(unfinished.line())["n"] == 1
        unfinished.interrupt()
        assert "1 of 9 sent" in unfinished.note("interrupted")
        assert unfinished.end() == 130


def test_when_nats_goes_away_it_says_how_many_were_sent(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    many = ("notify", "hi", "--repeat", "1000000", "--interval", "0.01", "--json", "--timeout", "2")
    with background(*many, NATS_URL=server.url) as unfinished:
        unfinished.line()
        server.kill()
        printed, complaint = unfinished.rest()
        assert unfinished.end() == 1
    sent = 1 + len(printed)
    [line] = complaint
    assert f"{sent} of 1000000 sent" in line
