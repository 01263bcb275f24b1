"""busctl submit --in and --at: a job that is stored now and begins then."""

from __future__ import annotations

import json

import pytest

from testbed.system import System
from tests.cli.background import background
from tests.cli.command import busctl

FAR = "2d"


def test_with_wait_it_says_until_when_it_waits_and_prints_the_result_after_that(system: System) -> None:
    done = busctl("submit", "default", "hi", "--in", "1.5s", "--wait", "--json", **system.env)
    assert done.returncode == 0
    [note] = done.stderr.splitlines()
    assert note.startswith("scheduled for 20")
    assert note.endswith("s)")
    queued, started, result = map(json.loads, done.stdout.splitlines())
    assert queued["action"] == "job_queued"
    assert queued["at"] < queued["not_before"] <= started["at"]
    assert (result["action"], result["payload"]) == ("job_result", "✅ Processed: HI")


def test_without_wait_it_prints_the_id_and_json_has_the_time(system: System) -> None:
    sent = busctl("submit", "default", "hi", "--in", FAR, "--json", **system.env)
    assert sent.returncode == 0
    assert "(in 2 d)" in sent.stderr or "(in 1 d 23 h)" in sent.stderr
    assert json.loads(sent.stdout)["not_before"].endswith("Z")
    quiet = busctl("submit", "default", "hi", "--in", FAR, "-q", **system.env)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_a_job_with_a_key_keeps_the_time_that_it_was_given_first(system: System) -> None:
    first = busctl("submit", "default", "hi", "--in", "2h", "--key", "once", **system.env)
    told = first.stderr.split(" (")[0]
    again = busctl("submit", "default", "hi", "--in", FAR, "--key", "once", **system.env)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert f"that key was used before, by job {first.stdout.strip()}: {told}" in again.stderr
    assert "it keeps the time that it was given first" in again.stderr
    plain = busctl("submit", "default", "hi", "--key", "once", **system.env)
    assert told in plain.stderr
    assert "keeps the time" not in plain.stderr


def test_one_that_waits_for_its_time_is_left_by_ctrl_c_and_called_off_by_cancel(system: System) -> None:
    with background("submit", "default", "hi", "--in", FAR, "--wait", "--json", **system.env) as waiting:
        job_id = json.loads(waiting.line())["job_id"]
        waiting.note("scheduled for")
        waiting.interrupt()
        assert f"'busctl cancel {job_id}'" in waiting.note("interrupted; the job is scheduled for")
        assert waiting.end() == 130
    with background("submit", "default", "hi", "--in", FAR, "--wait", "--json", **system.env) as waiting:
        job_id = json.loads(waiting.line())["job_id"]
        assert busctl("cancel", job_id, **system.env).returncode == 0
        assert json.loads(waiting.line())["action"] == "job_cancelled"
        assert waiting.end() == 1


@pytest.mark.parametrize(
    "arguments", [["--in", "0s"], ["--in", "-5m"], ["--at", "2026-12-01T06:00"], ["--in", "5m", "--at", "never"]]
)
def test_a_time_that_cannot_be_is_wrong_usage(arguments: list[str]) -> None:
    refused = busctl("submit", "default", "hi", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
