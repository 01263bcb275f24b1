"""What a shell offers: called as bash calls it."""

from __future__ import annotations

import pytest

from bus import Bus, Settings, job_log
from bus.job_log import JobRequest
from testbed.servers import Nats
from tests.cli.command import busctl
from tests.cli.terminal import in_shell


def offered(*words: str, **env: str) -> list[str]:
    """What is offered for the last word."""
    asked = {
        "_BUSCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["busctl", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = busctl(**asked, **env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("su",), ["submit"]),
        (("submit", "tr"), ["translate"]),
        (("submit", "--ti"), ["--timeout"]),
        (("notify", "hi", "--level", "w"), ["warning"]),
        (("new", ""), ["project", "job", "channel"]),
        (("cancel", ""), []),
    ],
)
def test_commands_options_types_and_levels_are_offered(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_a_job_that_cannot_be_used_is_no_matter_of_the_shell() -> None:
    assert offered("submit", "t", BUS_JOBS="nothing.there") == []


async def test_ids_of_jobs_are_offered(nats: Nats, settings: Settings) -> None:
    async with Bus(settings) as bus:
        request = JobRequest(task_type="default", job_type="default", content="x")
        for job_id in ("zz-open-1", "zz-open-2", "zz-ended"):
            await job_log.create(bus.stream, "completing", request, job_id=job_id)
            last = await job_log.read(bus.stream, "completing", job_id)
        await job_log.fail(bus.stream, last, "no reason")
    assert offered("cancel", "zz", NATS_URL=nats.url) == ["zz-open-2", "zz-open-1"]
    assert offered("retry", "zz", NATS_URL=nats.url) == ["zz-ended"]
    assert offered("watch", "--job", "zz", NATS_URL=nats.url) == ["zz-ended", "zz-open-2", "zz-open-1"]


@pytest.mark.parametrize("name", ["busctl", "qbusctl"])
def test_a_script_is_shown_for_the_name_by_which_it_is_called(name: str) -> None:
    shown = in_shell(f"{name} --show-completion; true")  # it looks which shell has called it
    assert shown.stdout.rstrip().endswith(f"_{name}_completion {name}")
    assert f"_{name.upper()}_COMPLETE=complete_bash" in shown.stdout
