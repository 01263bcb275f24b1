"""`patient`: a job that runs until the test lets it end, so that it runs for certain while something else happens."""

from __future__ import annotations

from pathlib import Path

from testbed.system import System

JOB = """
from pathlib import Path
from workers.registry import job, JobContext

@job
def patient(content: str, job: JobContext) -> str:
    "Report a tenth, and run until the test lets it end."
    job.progress(0.1)
    while not Path(__file__).with_name(content).exists() and not job.cancelled.wait(0.02):
        pass
    Path(__file__).with_name(f"{content} returned").touch()
    return "as long as it took"
"""
"""For `own_jobs.install`, whose answer is the system's PYTHONPATH."""


def let_end(system: System, content: str) -> None:
    """Let the job with this content end, whose attempts end at once from now on."""
    _file(system, content).touch()


def has_returned(system: System, content: str) -> bool:
    """Whether the job's function has returned."""
    return _file(system, f"{content} returned").exists()


def _file(system: System, name: str) -> Path:
    return Path(system.settings["PYTHONPATH"], name)
