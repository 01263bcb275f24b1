"""Jobs: how to write one, and how they are found.

A job is one function in a file of `workers/jobs/`, in a module that `BUS_JOBS` names, or of any installed package that
names it under the entry point group `busctl.jobs`:

    @job
    def shout(content: str, job: JobContext) -> str:
        \"\"\"Say it louder.\"\"\"
        return content.upper() + "!"

Content and result are text, or of any type that pydantic knows; see `workers.signature`. A job may begin by itself, at
the times of a `workers.schedule`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar, overload

from bus import Settings, subjects
from bus.job_log import DEFAULT_QUEUE
from workers.context import JobContext
from workers.errors import JobDefinitionError, Misfit, UnknownTaskType
from workers.outcomes import Fail, Retry
from workers.own_code import JOBS, imported, named
from workers.schedule import Schedule
from workers.signature import Signature
from workers.value_type import as_json

__all__ = ["Fail", "Job", "JobContext", "JobDefinitionError", "Retry", "discover", "discover_for", "job", "resolve"]

DEFAULT = "default"
"""The job type that runs requests of unknown type, if there is one."""
EXAMPLES = ("analyze", "default", "generate", "translate")
"""The example jobs, each in a file of its name in `workers/jobs/`."""
MAX_ATTEMPTS = 3
OF_CELERY = re.compile(r"_.*|unacked.*|celery.*")
"""Names of queues that are other things in Redis."""

T = TypeVar("T")

JobFunction = Callable[[Any, JobContext], Any]
"""Plain or async, it returns its answer, yields it piece by piece, or writes it; see `JobContext.write`."""


@dataclass(frozen=True)
class Job:
    """A registered job; calling it calls its function. The other fields are the arguments of `@job`.

    Args:
        function: takes the content and a `JobContext`.
        name: the job type that clients send.
        summary: one line for people, the first line of the docstring.
        schedule: when it begins by itself, if it does.
    """

    function: JobFunction
    name: str
    summary: str
    max_attempts: int = MAX_ATTEMPTS
    backoff: float = 1.0
    retry_on: tuple[type[Exception], ...] = ()
    time_limit: float = 600.0
    queue: str = DEFAULT_QUEUE
    schedule: Schedule | None = None

    @property
    def task_name(self) -> str:
        """The name of the Celery task that runs this job."""
        return f"jobs.{self.name}"

    @cached_property
    def signature(self) -> Signature:
        """What the function takes and gives.

        Raises:
            JobDefinitionError: its annotations cannot be used. Of a job that `@job` made they can.
        """
        return Signature.of(self.function, self.name)

    def __call__(self, content: Any, job: JobContext) -> Any:
        return self.function(content, job)


@overload
def job(function: JobFunction) -> Job: ...
@overload
def job(
    *,
    name: str | None = None,
    max_attempts: int = MAX_ATTEMPTS,
    backoff: float = 1.0,
    retry_on: tuple[type[Exception], ...] = (),
    time_limit: float = 600.0,
    queue: str = DEFAULT_QUEUE,
    every: str | None = None,
    cron: str | None = None,
    timezone: str | None = None,
    content: Any = ...,
) -> Callable[[JobFunction], Job]: ...
def job(
    function: JobFunction | None = None,
    *,
    name: str | None = None,
    max_attempts: int = MAX_ATTEMPTS,
    backoff: float = 1.0,
    retry_on: tuple[type[Exception], ...] = (),
    time_limit: float = 600.0,
    queue: str = DEFAULT_QUEUE,
    every: str | None = None,
    cron: str | None = None,
    timezone: str | None = None,
    content: Any = ...,
) -> Job | Callable[[JobFunction], Job]:
    """Make a function of `(content, job: JobContext)` a job.

    It may be plain or `async`. Its answer is the text that it returns, or that it yields piece by piece, or that it
    writes with `job.write`: clients see what is yielded and written at once. What it returns after that is added.
    Content and what is returned may be of other types than `str`, as `Signature` has them.

    Args:
        name: the job type that clients send; by default the function's name.
        max_attempts: how often a worker may begin: again when one was lost, and after `Retry` or an exception of
            `retry_on`.
        backoff: seconds before the second attempt; doubled for each one after it up to ten minutes, and each a quarter
            longer or shorter at random.
        retry_on: exceptions after which the job is tried again. Any other but `Retry` fails it at once.
        time_limit: seconds after which one attempt is given up and the job fails.
        queue: the Celery queue in which it waits for a worker. A worker takes from every queue, unless it is started
            with `-Q` and the names of some.
        every: begin by itself that often, from "1s" to "366d": "90s", "15m", "1h30m". The times are multiples of it
            since 1970-01-01 00:00 UTC, so "1d" is midnight UTC.
        cron: begin by itself at the times of these five fields; in place of `every`.
        timezone: in which `cron` is meant, such as "Europe/Berlin"; by default UTC.
        content: what it works on when it begins by itself, as a client would send it. A job of text may go without,
            and gets the empty text, and so may one that takes None.

    Raises:
        JobDefinitionError: the function takes other arguments, or has an unusable name, limit, annotation, queue or
            schedule.
    """

    def register(function: JobFunction) -> Job:
        chosen = name or function.__name__
        try:
            subjects.token("job type", chosen)
            subjects.token("queue", queue)
        except ValueError as error:
            raise JobDefinitionError(str(error)) from error
        where = f"job {chosen!r} ({function.__module__}.{function.__qualname__})"
        if list(inspect.signature(function).parameters) != ["content", "job"]:
            raise JobDefinitionError(f"{where} must take exactly the parameters `content` and `job`")
        if max_attempts < 1 or not 0 <= backoff < float("inf") or time_limit <= 0:
            raise JobDefinitionError(f"{where} needs max_attempts >= 1, backoff >= 0 and time_limit > 0")
        if OF_CELERY.fullmatch(queue):
            raise JobDefinitionError(f"{where} cannot have the queue {queue!r}: Celery uses that name in Redis itself")
        if not isinstance(retry_on, tuple) or not all(_is_exception(kind) for kind in retry_on):
            raise JobDefinitionError(f"{where} needs a tuple of exception classes as retry_on, not {retry_on!r}")
        summary = (inspect.getdoc(function) or chosen).strip().splitlines()[0]
        made = Job(function, chosen, summary, max_attempts, backoff, retry_on, time_limit, queue)
        signature = made.signature
        if every is None and cron is None and timezone is None and content is ...:
            return made
        return replace(made, schedule=_schedule(where, signature, chosen, every, cron, timezone, content))

    return register if function is None else register(function)


def _schedule(
    where: str,
    signature: Signature,
    name: str,
    every: str | None,
    cron: str | None,
    timezone: str | None,
    content: Any,
) -> Schedule:
    if every is None and cron is None:
        given = "timezone" if content is ... else "content"
        raise JobDefinitionError(f"{where} has {given} for a schedule, and no schedule: give every or cron too")
    without = content is ...
    if without:
        content = "" if signature.takes.is_text else None
    try:
        content = as_json(content)
        signature.check(content)
        return Schedule(name, every, cron, timezone, content)
    except Misfit as error:
        needs = "needs content for its schedule" if without else "has content that it does not take"
        raise JobDefinitionError(f"{where} {needs}: {error}") from error
    except ValueError as error:
        raise JobDefinitionError(f"{where} {error}") from error


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


def discover(*, example_jobs: bool = True, modules: Iterable[str] = ()) -> Mapping[str, Job]:
    """Every job of this package, of modules of one's own and of installed packages, by name.

    Args:
        example_jobs: whether those are among them that come with this package, as `BUS_EXAMPLE_JOBS` says.
        modules: names of modules and packages with jobs, as `BUS_JOBS` has them.

    Raises:
        JobDefinitionError: two jobs have one name, a module or entry point cannot be imported or holds no job, or there
            is no job at all.
    """
    found: dict[str, Job] = {}
    for source, job in _candidates(example_jobs, modules):
        if (other := found.get(job.name)) is not None and other is not job:
            example = example_jobs and job.name in EXAMPLES
            way_out = ", or leave out the example jobs with BUS_EXAMPLE_JOBS=false" if example else ""
            raise JobDefinitionError(
                f"two jobs are called {job.name!r}; the second comes from {source}: give one another name{way_out}"
            )
        found[job.name] = job
    if not found:
        raise JobDefinitionError(
            "there is no job: BUS_EXAMPLE_JOBS is false, BUS_JOBS names no module, and no installed package has a job "
            f"under the entry point group {JOBS}"
        )
    return MappingProxyType(found)


def discover_for(settings: Settings) -> Mapping[str, Job]:
    """What `discover` finds with these settings."""
    return discover(example_jobs=settings.example_jobs, modules=settings.jobs)


def resolve(jobs: Mapping[str, Job], task_type: str) -> Job:
    """The job that runs a request of this type: the one of that name, else `default`.

    Raises:
        UnknownTaskType: there is neither.
    """
    if (found := jobs.get(task_type) or jobs.get(DEFAULT)) is None:
        raise UnknownTaskType(task_type, jobs)
    return found


def max_attempts_of(jobs: Mapping[str, Job], job_type: str) -> int:
    """How often a worker may begin a job of this type, which may be one that only other processes know."""
    found = jobs.get(job_type) or jobs.get(DEFAULT)
    return MAX_ATTEMPTS if found is None else found.max_attempts


def _candidates(example_jobs: bool, modules: Iterable[str]) -> Iterator[tuple[str, Job]]:
    package = importlib.import_module("workers.jobs")
    for module in pkgutil.iter_modules(package.__path__, "workers.jobs."):
        if not example_jobs and module.name.removeprefix("workers.jobs.") in EXAMPLES:
            continue
        load = partial(importlib.import_module, module.name)
        yield from _jobs_in(imported(module.name, load, JobDefinitionError))
    for source, targets in named("BUS_JOBS", modules, JOBS, JobDefinitionError):
        found = [
            (where, job)
            for target in targets
            for where, job in (_jobs_in(target) if isinstance(target, ModuleType) else [(source, target)])
            if isinstance(job, Job)
        ]
        if not found:
            raise JobDefinitionError(f"{source} is neither a @job function nor a module with one")
        yield from found


def _jobs_in(module: ModuleType) -> Iterator[tuple[str, Job]]:
    return ((module.__name__, value) for value in vars(module).values() if isinstance(value, Job))
