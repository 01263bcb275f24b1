"""Jobs that take and give more than text, from a stored request to a stored end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import BaseModel

from bus import Bus, Settings, Stored, SyncBus, UnknownJob, job_log, subjects
from bus.job_log import JobRequest, JobState
from bus.messages import JobFailed, JobQueued, JobResult, TaskPayload
from tests.resize_job import resize
from workers import submission
from workers.errors import Misfit
from workers.execute import execute
from workers.process import WorkerProcess
from workers.registry import Job, JobContext, discover, job
from workers.testing import run as run_in_test
from workers.ticket import Ticket

CLIENT = "typed"
JOBS = discover() | {"resize": resize}


@pytest.fixture
def process(settings: Settings) -> Iterator[WorkerProcess]:
    process = WorkerProcess(SyncBus(settings), settings)
    try:
        yield process
    finally:
        process.close()


def submit(bus: SyncBus, content: Any, task_type: str = "t") -> JobState:
    request = JobRequest(task_type=task_type, job_type=task_type, content=content)
    job_id = job_log.new_job_id()
    return bus.call(lambda bus: job_log.create(bus.stream, CLIENT, request, job_id=job_id))


def read(bus: SyncBus, job_id: str) -> JobState:
    return bus.call(lambda bus: job_log.read(bus.stream, CLIENT, job_id))


def frames(bus: SyncBus, job_id: str) -> list[Any]:
    """The stored events of a job, as they are stored."""

    async def replay(bus: Bus) -> list[Stored]:
        return [stored async for stored in bus.stream.replay(subjects.job(CLIENT, job_id), after=0)]

    return [json.loads(stored.data) for stored in bus.call(replay)]


def run(process: WorkerProcess, job: Job, content: Any) -> JobState:
    state = submit(process.bus, content)
    execute(job, CLIENT, state.job_id, process, Ticket.of(state))
    return read(process.bus, state.job_id)


async def _nowhere(job: JobState) -> None:
    pass


def test_the_result_is_stored_as_json(process: WorkerProcess) -> None:
    ended = run(process, resize, {"width": 640, "title": "cat"})
    assert isinstance(ended.last, JobResult)
    assert ended.last.payload == {"width": 640, "height": 640, "files": ["cat.png"]}
    assert frames(process.bus, ended.job_id)[-1]["payload"] == ended.last.payload


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"width": 640, "fit": "cover"}, '{"width":640,"fit":"cover"}'),
        ([1, "é"], '[1,"é"]'),
        (10**400, "1" + "0" * 400),
        (None, "null"),
        ("text", "'text'"),
        ("", "''"),
    ],
)
def test_content_is_stored_as_it_came_and_shown_to_people_as_json(
    process: WorkerProcess, content: Any, shown: str
) -> None:
    state = submit(process.bus, content)
    read_back = read(process.bus, state.job_id)
    assert read_back.request.content == content
    for event in (state.last, read_back.last):
        assert isinstance(event, JobQueued)
        assert event.payload == f"⏳ Job queued: t for {shown} (ID: {state.job_id})"
        frame = json.loads(event.encode())
        assert (frame["content"], frame["task_type"]) == (content, "t")
    [stored] = frames(process.bus, state.job_id)
    assert "content" not in stored  # it stands in the request, once


def raises_if_called(content: str, job: JobContext) -> str:
    raise AssertionError("called")


class Newer(BaseModel):
    width: str
    x: int


def newer(content: Newer, job: JobContext) -> str:
    return "never"


@pytest.mark.parametrize(
    ("function", "content", "reason"),
    [
        (newer, {"width": 640}, "the content does not fit: width: Input should be a valid string; x: Field required"),
        (raises_if_called, {"width": 640}, "the content does not fit: Input should be a valid string"),
        (resize.function, "640", "the content does not fit: Input should be an object"),
    ],
)
def test_content_that_this_workers_model_does_not_take_fails_the_job_once(
    process: WorkerProcess, function: Callable[..., Any], content: Any, reason: str
) -> None:
    ended = run(process, Job(function, "t", "t", retry_on=(Exception,)), content)
    assert isinstance(ended.last, JobFailed)
    assert ended.last.reason == reason
    assert ended.attempt == 1


class Size(BaseModel):
    width: int
    height: int


def returning(value: Any, hint: Any) -> Callable[..., Any]:
    def function(content: str, job: JobContext) -> Any:
        return value

    function.__annotations__["return"] = hint
    return function


@pytest.mark.parametrize(
    ("hint", "value", "reason"),
    [
        (Size, {"width": 1, "height": "x"}, "the result does not fit: height: Input should be a valid integer"),
        (Size, Size.model_construct(width=1, height="x"), "field_name='height'"),
        (Size, None, "the result does not fit: Input should be"),
        (float, float("nan"), "the result does not fit: Input should be a finite number"),
        (list[str], ["x" * 100_000, "y" * 200_000], "the result has 300007 bytes; at most 262144 are allowed"),
        (list[str], ["\x01" * 50_000], "the result has 300004 bytes; at most 262144 are allowed"),
        (str, 5, "t returned int, not text"),
    ],
)
def test_a_result_that_is_not_what_was_declared_fails_the_job_and_says_where(
    process: WorkerProcess, hint: Any, value: Any, reason: str
) -> None:
    ended = run(process, Job(returning(value, hint), "t", "t"), "x")
    assert isinstance(ended.last, JobFailed)
    assert reason in str(ended.last.reason)


@pytest.mark.parametrize(("hint", "value"), [(int | None, None), (int, 10**400), (bool, False), (Any, {"a": [None]})])
def test_any_json_value_can_be_a_result(process: WorkerProcess, hint: Any, value: Any) -> None:
    ended = run(process, Job(returning(value, hint), "t", "t"), "x")
    assert isinstance(ended.last, JobResult)
    assert ended.last.payload == value
    assert "payload" in frames(process.bus, ended.job_id)[-1]


def test_what_is_no_text_is_not_carried_in_redis() -> None:
    request = JobRequest(task_type="t", job_type="t", content={"__type__": "datetime", "__value__": "never"})
    queued = JobQueued(payload="")
    assert Ticket.of(JobState(CLIENT, "j", request, queued, 1, None)) is None


@pytest.mark.parametrize(
    ("task_type", "content", "items"),
    [
        ("resize", {"width": 0}, [("greater_than", ("width",))]),
        ("translate", 5, [("string_type", ())]),
        ("no-such-type", {"width": 10}, [("string_type", ())]),
    ],
)
async def test_content_that_does_not_fit_is_refused_and_nothing_is_stored(
    settings: Settings, task_type: str, content: Any, items: Any
) -> None:
    task = TaskPayload(task_type=task_type, content=content)
    async with Bus(settings) as bus:
        with pytest.raises(Misfit) as refused:
            await submission.submit(bus, JOBS, task, client_id=CLIENT, job_id="refused", queue=nullcontext(_nowhere))
        with pytest.raises(UnknownJob):
            await job_log.read(bus.stream, CLIENT, "refused")
    assert [(item.type, item.loc) for item in refused.value.items] == items


@job
async def measure(content: Size, job: JobContext) -> int:
    """Say how large it is."""
    return content.width * content.height


@job(retry_on=(Exception,), backoff=0)
def measured_badly(content: Size, job: JobContext) -> Size:
    """Return another thing."""
    return Size.model_construct(width=1, height="x")  # type: ignore[arg-type]


def test_typed_jobs_of_any_kind_run_in_tests_without_a_server() -> None:
    assert run_in_test(measure, {"width": 2, "height": 3}).result == 6
    assert run_in_test(resize, {"width": 2, "title": "cat"}).result["files"] == ["cat.png"]
    refused = run_in_test(measure, {"width": 2})
    assert (refused.failure, refused.attempts) == ("the content does not fit: height: Field required", 1)
    failed = run_in_test(measured_badly, {"width": 2, "height": 3})
    assert "field_name='height'" in str(failed.failure)
    assert failed.attempts == 1
