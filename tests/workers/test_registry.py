"""Jobs: how they are defined, found and refused."""

import importlib
import sys
from pathlib import Path

import pytest

from workers import own_code, registry
from workers.errors import JobDefinitionError, UnknownTaskType
from workers.registry import Job, JobContext, discover, job, max_attempts_of, resolve


def context() -> JobContext:
    return JobContext(job_id="j", client_id="c", delay_scale=0)


def test_the_four_jobs_are_found() -> None:
    assert set(discover()) == {"analyze", "default", "generate", "translate"}


def test_a_request_of_unknown_type_runs_default() -> None:
    jobs = discover()
    assert resolve(jobs, "translate").name == "translate"
    assert resolve(jobs, "nonsense").name == "default"


def test_a_job_is_named_and_summed_up_by_its_function() -> None:
    @job
    def shout(content: str, job: JobContext) -> str:
        """Say it louder.

        Much louder.
        """
        return content.upper()

    assert (shout.name, shout.task_name, shout.summary) == ("shout", "jobs.shout", "Say it louder.")
    assert shout("x", context()) == "X"


def test_a_job_may_choose_its_name() -> None:
    @job(name="other-name")
    def shout(content: str, job: JobContext) -> str:
        return content

    assert (shout.name, shout.summary) == ("other-name", "other-name")


def test_functions_that_cannot_be_jobs_are_refused() -> None:
    def too_few(content: str) -> str:
        return content

    with pytest.raises(JobDefinitionError, match="exactly"):
        job(too_few)  # type: ignore[call-overload]
    for wrong in (OSError, [OSError], ("OSError",), (KeyboardInterrupt,)):
        with pytest.raises(JobDefinitionError, match="tuple of exception classes"):
            job(name="x", retry_on=wrong)(lambda content, job: content)  # type: ignore[call-overload]
    with pytest.raises(JobDefinitionError, match="backoff >= 0"):
        job(name="x", backoff=float("nan"))(lambda content, job: content)
    with pytest.raises(JobDefinitionError, match="job type"):
        job(name="a.b")(lambda content, job: content)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution called `extra` with a module `extra_jobs`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "extra-1.0.dist-info").mkdir()
    (tmp_path / "extra-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    sys.modules.pop("extra_jobs", None)
    importlib.invalidate_caches()
    return tmp_path


def install(package: Path, code: str, entry_point: str) -> None:
    (package / "extra_jobs.py").write_text("from workers.registry import job, JobContext\n" + code)
    text = f"[{own_code.JOBS}]\n{entry_point}\n"
    (package / "extra-1.0.dist-info" / "entry_points.txt").write_text(text)


SHOUT = "@job\ndef shout(content: str, job: JobContext) -> str:\n    return content.upper()\n"


@pytest.mark.parametrize("entry_point", ["shout = extra_jobs:shout", "anything = extra_jobs"])
def test_installed_packages_add_jobs(package: Path, entry_point: str) -> None:
    install(package, SHOUT, entry_point)
    assert isinstance(discover()["shout"], Job)


def test_two_jobs_of_one_name_are_refused(package: Path) -> None:
    install(package, SHOUT.replace("shout", "translate"), "translate = extra_jobs")
    with pytest.raises(JobDefinitionError, match="two jobs are called 'translate'"):
        discover()


def test_a_default_of_ones_own_needs_the_examples_left_out(package: Path) -> None:
    install(package, SHOUT.replace("shout", "default"), "default = extra_jobs")
    with pytest.raises(JobDefinitionError, match=r"two jobs are called 'default'.*BUS_EXAMPLE_JOBS=false"):
        discover()
    jobs = discover(example_jobs=False)
    assert set(jobs) == {"default"}
    assert resolve(jobs, "nonsense").function.__module__ == "extra_jobs"


def test_without_a_default_an_unknown_type_is_no_job(package: Path) -> None:
    install(package, SHOUT, "shout = extra_jobs")
    jobs = discover(example_jobs=False)
    with pytest.raises(UnknownTaskType, match="no job type 'nonsense'; there is shout"):
        resolve(jobs, "nonsense")
    assert (max_attempts_of(jobs, "nonsense"), max_attempts_of(jobs, "shout")) == (registry.MAX_ATTEMPTS, 3)


def test_without_any_job_nothing_starts() -> None:
    with pytest.raises(JobDefinitionError, match=r"there is no job: BUS_EXAMPLE_JOBS is false.*busctl\.jobs"):
        discover(example_jobs=False)


def test_an_entry_point_without_a_job_is_refused(package: Path) -> None:
    install(package, "", "nothing = extra_jobs")
    with pytest.raises(JobDefinitionError, match="nothing = extra_jobs"):
        discover()


def test_a_job_may_have_a_queue_of_its_own_but_none_of_celerys_names() -> None:
    @job(queue="heavy")
    def shout(content: str, job: JobContext) -> str:
        return content

    assert shout.queue == "heavy"
    for name in ("unacked", "_kombu", "a queue"):
        with pytest.raises(JobDefinitionError, match="queue"):
            job(name="shout", queue=name)(lambda content, job: content)
