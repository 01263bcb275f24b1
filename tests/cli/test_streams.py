"""Whatever standard input, output and error are connected to: nothing is cropped, lost or said in a traceback."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from subprocess import PIPE, CompletedProcess, Popen
from typing import Any

import pytest
from rich.text import Text

from bus import Bus, Settings, job_log
from bus.job_log import JobRequest, JobState
from testbed.servers import Nats
from tests.cli.background import background
from tests.cli.command import busctl
from tests.cli.terminal import in_shell, in_terminal

LONG = "🌍 Translated: 'hello' → 'hola', and 👩‍🚀 " + "a long text " * 40 + "to its very end"


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


@pytest.fixture
async def job(bus: Bus) -> JobState:
    """A job of the client `piped` with a long result."""
    request = JobRequest(task_type="translate", job_type="translate", content="hello")
    state = await job_log.create(bus.stream, "piped", request, job_id=job_log.new_job_id())
    return await job_log.finish(bus.stream, await job_log.start(bus.stream, state), LONG)


async def last_event(bus: Bus) -> Any:
    last = (await bus.stream.state()).last_seq
    stored = await bus.stream.first("bus.>", seq=last)
    assert stored is not None
    return json.loads(stored.data)


def fed(sender: str, *arguments: str, **env: str) -> CompletedProcess[str]:
    """The command, which reads what a line of shell prints."""
    with Popen(["/bin/bash", "-c", sender], stdout=PIPE) as sending:
        assert sending.stdout is not None
        return busctl(*arguments, streams={"stdin": sending.stdout.fileno()}, **env)


@contextmanager
def unread() -> Iterator[int]:
    """A pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"FORCE_COLOR": "1"},
        {"TTY_COMPATIBLE": "1"},
        {"COLUMNS": "40"},
    ],
)
def test_in_a_pipe_everything_is_whole(nats: Nats, job: JobState, env: dict[str, str]) -> None:
    with background("jobs", "--client", "piped", **{"NATS_URL": nats.url, "COLUMNS": ""} | env) as jobs:
        shown, _ = jobs.rest()
    header, *_, row = (Text.from_ansi(line).plain for line in shown)
    assert header.split() == ["JOB", "TYPE", "STATE", "TRY", "AGE", "TOOK", "TEXT"]
    assert [job.job_id, "translate", "done"] == row.split()[:3]
    assert row.endswith(LONG)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_in_a_terminal_each_job_is_one_line_with_its_state(nats: Nats, job: JobState, columns: int) -> None:
    shown = in_terminal("jobs", "--limit", "3", NATS_URL=nats.url, columns=columns)
    assert shown.returncode == 0
    [row] = [line for line in shown.lines if job.job_id[:8] in line]
    assert row.cell_len <= columns
    assert " done" in row
    assert ("🌍" in row) == (columns >= 40)


@pytest.mark.parametrize(
    ("env", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"FORCE_COLOR": ""}, False)],
)
def test_colours_are_for_terminals_that_want_them(
    nats: Nats, job: JobState, env: dict[str, str], coloured: bool
) -> None:
    shown = in_terminal("jobs", "--client", "piped", columns=60, NATS_URL=nats.url, **env)
    assert ("\x1b[32m" in shown.raw) == coloured
    assert all(line.cell_len <= 60 for line in shown.lines if job.job_id in line)


def test_a_width_that_was_asked_for_is_kept(nats: Nats, job: JobState) -> None:
    shown = in_terminal("jobs", "--client", "piped", columns=200, NATS_URL=nats.url, COLUMNS="50", TERM="dumb")
    assert all(line.cell_len <= 50 for line in shown.lines if job.job_id in line)
    for columns in "0", "²":
        shown = in_terminal("jobs", "--client", "piped", columns=90, NATS_URL=nats.url, COLUMNS=columns)
        assert any("Translated" in line for line in shown.lines)
        assert all(line.cell_len <= 90 for line in shown.lines)


@pytest.mark.parametrize("columns", [20, 40])
def test_in_a_terminal_each_event_is_one_line_with_what_happened(nats: Nats, job: JobState, columns: int) -> None:
    shown = in_terminal("watch", "--job", job.job_id, columns=columns, NATS_URL=nats.url, until="result")
    assert shown.returncode == 130
    [row] = [line for line in shown.lines if "result" in line]
    assert row.cell_len <= columns
    assert (job.job_id[:8] in row) == (columns >= 40)


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
async def test_in_any_locale_utf8_is_sent_as_it_is_and_what_is_none_is_refused(
    nats: Nats, bus: Bus, env: dict[str, str]
) -> None:
    sent = in_shell("busctl notify 'grüße ✓ 👩‍🚀'", NATS_URL=nats.url, **env)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert (await last_event(bus))["payload"] == "grüße ✓ 👩‍🚀"
    refused = in_shell("busctl notify $'caf\\xe9'", NATS_URL=nats.url, **env)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert r"not valid UTF-8: b'caf\xe9'" in refused.stderr


@pytest.mark.parametrize("command", ["jobs", "notify hi --json", "--help", "submit default hi"])
def test_output_that_cannot_be_written_is_one_line_and_exit_1(nats: Nats, job: JobState, command: str) -> None:
    with open("/dev/full", "w") as full:
        disk_full = busctl(*command.split(), NATS_URL=nats.url, streams={"stdout": full.fileno()})
    closed = in_shell(f"busctl {command} >&-", NATS_URL=nats.url, REDIS_URL="redis://127.0.0.1:1/0")
    for failed, reason in (disk_full, "No space left on device"), (closed, "Bad file descriptor"):
        assert failed.returncode == 1, failed
        *_, last = failed.stderr.splitlines()
        assert last == f"error: cannot write to standard output: {reason}"
        assert "Traceback" not in failed.stderr
        assert "Exception ignored" not in failed.stderr


def test_a_reader_that_has_seen_enough_ends_it_quietly(nats: Nats, job: JobState) -> None:
    with unread() as pipe:
        for command in "jobs", "notify hi --repeat 1000 --interval 0 --json", "--help":
            unseen = busctl(*command.split(), NATS_URL=nats.url, streams={"stdout": pipe})
            assert (unseen.returncode, unseen.stderr) == (1, ""), command
    headed = in_shell("busctl notify hi --repeat 1000 --interval 0 --json | true", NATS_URL=nats.url)
    assert (headed.returncode in (0, 1), headed.stderr) == (True, "")


def test_what_cannot_be_said_on_standard_error_changes_no_exit_status(nats: Nats) -> None:
    with unread() as pipe, open("/dev/full", "w") as full:
        for stderr in pipe, full.fileno():
            assert busctl("notify", NATS_URL=nats.url, streams={"stderr": stderr}).returncode == 2
            assert busctl("notify", "hi", NATS_URL=nats.url, streams={"stderr": stderr}).returncode == 0
    assert in_shell("busctl notify 2>&-", NATS_URL=nats.url).returncode == 2
    assert in_shell("busctl notify hi 2>&-", NATS_URL=nats.url).returncode == 0
    assert in_shell("busctl notify hi -q <&- >&- 2>&-", NATS_URL=nats.url).returncode == 0


@pytest.mark.parametrize(
    ("sender", "text"),
    [
        ("printf 'grüße ✓'", "grüße ✓"),
        (r"printf 'two\nlines\r\n'", "two\nlines"),
        (r"printf '\xef\xbb\xbfwith a mark\n\n'", "with a mark\n"),
        ("printf -- -", "-"),
        ("head -c 500000 /dev/zero | tr '\\0' x", "x" * 500_000),
    ],
)
async def test_a_dash_is_what_comes_on_standard_input(nats: Nats, bus: Bus, sender: str, text: str) -> None:
    assert fed(sender, "notify", "-", "-q", NATS_URL=nats.url).returncode == 0
    assert (await last_event(bus))["payload"] == text
    assert fed(sender, "submit", "translate", "-", "-q", NATS_URL=nats.url).returncode == 0
    assert (await last_event(bus))["request"]["content"] == text


async def test_standard_input_is_utf8_in_any_locale(nats: Nats, bus: Bus) -> None:
    env = {"NATS_URL": nats.url, "REDIS_URL": "redis://127.0.0.1:1/0", "LC_ALL": "C", "PYTHONUTF8": "0"}
    assert in_shell("printf 'grüße ✓' | busctl notify - -q", **env).returncode == 0
    assert (await last_event(bus))["payload"] == "grüße ✓"
    assert in_shell("printf 'grüße ✓' | busctl submit translate - -q", **env).returncode == 0
    assert (await last_event(bus))["request"]["content"] == "grüße ✓"


@pytest.mark.parametrize(("command", "what"), [("notify -", "message"), ("submit default -", "content")])
@pytest.mark.parametrize(
    ("sender", "reason"),
    [
        ("true", "there is no {} on standard input; nothing was sent"),
        (r"printf ' \n'", "there is no {} on standard input; nothing was sent"),
        (r"printf 'caf\xe9'", "the {} on standard input is not valid UTF-8 at byte 4; encode it so"),
        ("head -c 2000000 /dev/zero", "the {} on standard input has more than 1,048,576 bytes; send less"),
        (None, "there is no {} on standard input; nothing was sent"),
    ],
)
def test_standard_input_that_cannot_be_sent_is_refused(
    nats: Nats, sender: str | None, reason: str, command: str, what: str
) -> None:
    if sender is None:
        refused = in_shell(f"busctl {command} <&-", NATS_URL=nats.url)
    else:
        refused = fed(sender, *command.split(), NATS_URL=nats.url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"error: {reason.format(what)}\n"


def test_wrong_usage_is_one_line_that_nobody_outside_writes() -> None:
    refused = busctl("notify", "hi", "x\n\x1b[31mFORGED\u202e", "--no-color")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert r"\x1b[31mFORGED\u202e" in refused.stderr
    assert "see 'busctl notify --help'" in refused.stderr
