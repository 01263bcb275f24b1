"""busctl submit: exit 0 for what is stored, now or for later, and with --wait for what is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus import Bus, Settings, job_log, subjects
from testbed.system import System, running
from tests.cli.background import background
from tests.cli.command import busctl

FAR = "2d"
"""So far ahead that no test sees it begin."""


def test_it_prints_the_id_of_a_job_that_is_stored(system: System) -> None:
    sent = busctl("submit", "default", "hi", "--client", "ann", **system.env)
    assert (sent.returncode, sent.stderr) == (0, "")
    [listed] = busctl("jobs", "--client", "ann", "--json", **system.env).stdout.splitlines()
    assert json.loads(listed)["job_id"] == sent.stdout.strip()


def test_with_wait_it_prints_the_result(system: System) -> None:
    done = busctl("submit", "translate", "hello", "--wait", **system.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "🌍 Translated: 'hello' → 'hola'\n", "")


def test_a_result_of_several_lines_keeps_them(system: System) -> None:
    done = busctl("submit", "analyze", "hello", "--wait", **system.env)
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("transalte", "did you mean translate?"), ("no-such-type", "there is analyze, default, generate")],
)
def test_a_type_that_is_not_there_is_a_usage_error_that_names_what_may_be_meant(asked: str, hint: str) -> None:
    refused = busctl("submit", asked, "hi", "--wait")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"there is no job type '{asked}'; {hint}" in " ".join(refused.stderr.replace("│", " ").split())


def test_any_type_may_be_asked_for_and_default_runs_it_and_says_so(system: System) -> None:
    done = busctl("submit", "no-such-type", "hi", "--wait", "--any-type", **system.env)
    assert (done.returncode, done.stdout) == (0, "✅ Processed: HI\n")
    assert done.stderr == "no job type 'no-such-type': running default\n"


def test_markup_is_shown_as_it_is_and_control_characters_escaped(system: System) -> None:
    done = busctl("submit", "default", "[red]x[/red]\x1b[2J", "--wait", **system.env)
    assert done.stdout == "✅ Processed: [RED]X[/RED]\\x1b[2J\n"


def test_json_has_each_event_and_the_end_last(system: System) -> None:
    done = busctl("submit", "default", "hi", "--wait", "--json", **system.env)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["action"] for event in events] == ["job_queued", "job_started", "job_result"]
    assert events[-1]["payload"] == "✅ Processed: HI"
    assert all("request" not in event and event["at"] and event["client_id"] == "cli" for event in events)


def test_json_without_wait_is_the_queued_job(system: System) -> None:
    [line] = busctl("submit", "default", "hi", "--json", **system.env).stdout.splitlines()
    assert json.loads(line)["action"] == "job_queued"


def test_quiet_prints_nothing(system: System) -> None:
    done = busctl("submit", "no-such-type", "hi", "--wait", "--any-type", "-q", **system.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_same_key_is_the_same_job(system: System) -> None:
    first = busctl("submit", "default", "hi", "--key", "order 17", "--wait", **system.env)
    again = busctl("submit", "default", "other", "--key", "order 17", "--wait", **system.env)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert "that key was used before" in again.stderr
    other = busctl("submit", "default", "other", "--key", "order 17", "--wait", "--client", "bob", **system.env)
    assert other.stdout == "✅ Processed: OTHER\n"


def test_a_job_that_failed_is_exit_1_with_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, BUS_JOB_RESULT_MAX_BYTES="100") as system:
        system.worker()
        failed = busctl("submit", "default", "x" * 200, "--wait", **system.env)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: job ")
    assert "at most 100 are allowed" in failed.stderr


def test_a_job_that_is_cancelled_is_exit_1(fresh: System) -> None:
    with background("submit", "default", "hi", "--wait", "--json", **fresh.env) as waiting:
        job_id = json.loads(waiting.line())["job_id"]
        assert busctl("cancel", job_id, **fresh.env).returncode == 0
        assert json.loads(waiting.line())["action"] == "job_cancelled"
        assert "was cancelled" in waiting.note("error: ")
        assert waiting.end() == 1


async def test_what_another_program_writes_about_a_job_does_not_end_the_wait_for_it(fresh: System) -> None:
    with background("submit", "default", "hi", "--wait", "--json", **fresh.env) as waiting:
        job_id = json.loads(waiting.line())["job_id"]
        async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus:
            await bus.stream.append(subjects.job("cli", job_id), b'{"action":"job_result"}')
            assert json.loads(waiting.line())["action"] == "job_result"
            await job_log.cancel(bus.stream, "cli", job_id)
        assert json.loads(waiting.line())["action"] == "job_cancelled"
        assert waiting.end() == 1


def test_past_the_timeout_it_says_how_to_follow_the_job(fresh: System) -> None:
    late = busctl("submit", "default", "hi", "--wait", "--timeout", "3", **fresh.env)
    assert late.returncode == 1
    [job] = busctl("jobs", "--json", **fresh.env).stdout.splitlines()
    assert f"busctl watch --job {json.loads(job)['job_id']}" in late.stderr


def test_interrupted_it_says_that_the_job_goes_on(fresh: System) -> None:
    with background("submit", "default", "hi", "--wait", "--json", **fresh.env) as waiting:
        waiting.line()
        waiting.interrupt()
        assert "the job goes on" in waiting.note("interrupted")
        assert waiting.end() == 130


def test_while_redis_is_away_the_job_is_accepted_and_runs_later(fresh: System) -> None:
    fresh.valkey.kill()
    accepted = busctl("submit", "default", "hi", "--key", "k", **fresh.env)
    assert accepted.returncode == 0
    assert accepted.stdout.strip()
    assert "Redis does not answer" in accepted.stderr
    assert "the job is stored as queued" in accepted.stderr
    fresh.valkey.start()
    fresh.worker(BUS_RECONCILE_INTERVAL="0.2")
    done = busctl("submit", "default", "hi", "--key", "k", "--wait", **fresh.env)
    assert (done.returncode, done.stdout) == (0, "✅ Processed: HI\n")


def test_waiting_goes_on_over_an_outage_of_nats(fresh: System) -> None:
    with background("submit", "default", "hi", "--wait", "--json", **fresh.env) as waiting:
        waiting.line()
        fresh.nats.kill()
        waiting.note("NATS is away")
        fresh.nats.start()
        fresh.worker()
        events = [json.loads(waiting.line()) for _ in range(2)]
        assert [event["action"] for event in events] == ["job_started", "job_result"]
        assert waiting.end() == 0


def test_for_later_it_says_until_when_it_waits_and_prints_the_result_after_that(system: System) -> None:
    done = busctl("submit", "default", "hi", "--in", "1.5s", "--wait", "--json", **system.env)
    assert done.returncode == 0
    [note] = done.stderr.splitlines()
    assert note.startswith("scheduled for 20")
    assert note.endswith("s)")
    queued, started, result = map(json.loads, done.stdout.splitlines())
    assert queued["action"] == "job_queued"
    assert queued["at"] < queued["not_before"] <= started["at"]
    assert (result["action"], result["payload"]) == ("job_result", "✅ Processed: HI")


def test_for_later_json_has_the_time_and_people_are_told_it(system: System) -> None:
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


def test_a_job_that_waits_for_its_time_is_left_by_ctrl_c_and_called_off_by_cancel(system: System) -> None:
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


def test_without_nats_it_fails_and_names_the_server() -> None:
    failed = busctl("submit", "default", "hi", "--timeout", "0.5")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "nats://127.0.0.1:1" in failed.stderr
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["default"],
        ["", "hi"],
        ["x" * 65, "hi"],
        ["default", "hi", "--key", ""],
        ["default", "hi", "--key", "x" * 129],
        ["default", "hi", "--client", "a.b"],
        ["default", "hi", "--timeout", "nan"],
        ["default", "hi", "--in", "0s"],
        ["default", "hi", "--in", "-5m"],
        ["default", "hi", "--at", "2026-12-01T06:00"],
        ["default", "hi", "--in", "5m", "--at", "never"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    refused = busctl("submit", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
