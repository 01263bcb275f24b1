"""Jobs that run for as long as a test wants, installed into the workers of a system by an entry point."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.system import System, running

HOLDS = """
import asyncio, os, pathlib, time
from contextlib import asynccontextmanager
from workers.registry import job, JobContext

@job
def holds(content: str, job: JobContext) -> str:
    "Run until the file that the content names is there."
    while not os.path.exists(content) and not job.cancelled.wait(0.02):
        pass
    return "held"

@job
def deaf(content: str, job: JobContext) -> str:
    "Run until the file is there, whatever is raised meanwhile."
    while not os.path.exists(content):
        try:
            time.sleep(0.02)
        except BaseException:
            pass
    return "held"

@job(max_attempts=2)
def flaky(content: str, job: JobContext) -> str:
    "Fail once, and wait for as many seconds as the content says; fail for good with 'never'."
    from workers.registry import Fail, Retry
    if content == "never":
        raise Fail("there is no paper")
    if job.attempt == 1:
        raise Retry(after=float(content), reason="there is no ink")
    while not job.cancelled.wait(0.02):
        pass
    return "printed"

@job
def streams(content: str, job: JobContext):
    "Write until the file that the content names is there; then leave another one beside it."
    try:
        yield f"attempt {job.attempt}:"
        number = 0
        while not os.path.exists(content):
            yield f" {number}"
            number += 1
            time.sleep(0.01)
    finally:
        pathlib.Path(content + ".left").touch()

@job
async def streams_async(content: str, job: JobContext):
    "The same on an event loop."
    try:
        yield f"attempt {job.attempt}:"
        number = 0
        while not os.path.exists(content):
            yield f" {number}"
            number += 1
            await asyncio.sleep(0.01)
    finally:
        await asyncio.sleep(0)
        pathlib.Path(content + ".left").touch()

@job
async def uses_pool(content: str, job: JobContext) -> str:
    "Use what is opened once for the process; what becomes of it is in the file that the content names."
    path = pathlib.Path(content)

    def note(what: str) -> None:
        path.write_text(path.read_text() + what)

    POOL.setdefault("note", note)
    return await job.resource(pool)

POOL = {}

@asynccontextmanager
async def pool():
    POOL["note"]("opened ")
    yield f"the pool of {os.getpid()}"
    POOL["note"]("closed ")

@job
def quits(content: str, job: JobContext) -> str:
    "Raise what Celery raises to end a worker."
    from celery.exceptions import WorkerShutdown
    raise WorkerShutdown(0)

@job(max_attempts=1)
def closes_files(content: str, job: JobContext) -> str:
    "Close what this process has open, as code that makes a daemon does."
    os.closerange(3, 1000)
    time.sleep(3600)
    return "never"

@job
def stuck(content: str, job: JobContext) -> str:
    "Never let any other Python code of this process run."
    import ctypes
    ctypes.PyDLL(None).sleep(3600)  # as a long computation in C does: PyDLL keeps the interpreter's lock
    return "never"
"""


def install(directory: Path, source: str = HOLDS) -> str:
    """Make a package of jobs in a directory. Returns what PYTHONPATH needs to be."""
    package, name = directory / "package", f"own_jobs_{secrets.token_hex(4)}"  # a process may import several
    info = package / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (package / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[busctl.jobs]\n{name} = {name}\n")
    return str(package)


@contextmanager
def running_with(directory: Path, source: str, **settings: str) -> Iterator[System]:
    """A system whose workers have these jobs; in the block, `discover` finds them in this process too."""
    package = install(directory, source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(package)
        with running(directory, PYTHONPATH=package, **settings) as system:
            yield system
