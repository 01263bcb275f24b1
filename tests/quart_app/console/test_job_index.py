"""The list of all jobs, and views of it: whatever happens, a view has what its filter says, in order."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus import Stored, subjects, times
from bus.job_log import step_of
from bus.messages.from_operators import JobFilter
from quart_app.console import job_index
from quart_app.console.job_index import LONGEST, SPARE, IndexedJob, JobIndex
from quart_app.console.job_view import JobView

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Log:
    """Makes steps of jobs, one a second, and gives them to an index."""

    def __init__(self, index: JobIndex) -> None:
        self.index = index
        self._seqs = count(1)

    def add(self, job_id: str, frame: dict[str, Any], client_id: str = "ann") -> int:
        seq = next(self._seqs)
        stored = Stored(
            seq,
            subjects.job(client_id, job_id),
            json.dumps(frame).encode(),
            timestamp=times.written(BEGAN + timedelta(seconds=seq)),
        )
        self.index.apply(step_of(stored))
        return seq

    def queued(
        self, job_id: str, client_id: str = "ann", type_: str = "translate", content: Any = "hello", **more: Any
    ) -> int:
        waits = more.pop("waits", None)
        request = {"task_type": type_, "job_type": type_, "content": content, **more}
        frame = {"action": "job_queued", "payload": "…", "request": request}
        return self.add(job_id, frame | ({"waits": waits} if waits else {}), client_id)

    def started(self, job_id: str, client_id: str = "ann", attempt: int = 1) -> int:
        frame = {"action": "job_started", "payload": "…", "task_type": "translate", "attempt": attempt}
        return self.add(job_id, frame | {"instance": "w-1"}, client_id)

    def ended(self, job_id: str, client_id: str = "ann", action: str = "job_result", text: str = "salut") -> int:
        reason = {"reason": text} if action == "job_failed" else {}
        return self.add(job_id, {"action": action, "payload": text, "attempt": 1, **reason}, client_id)


def view_of(index: JobIndex, **asked: Any) -> JobView:
    view = JobView(JobFilter(**asked))
    asyncio.run(view.fill(index))
    return view


def ids(jobs: list[IndexedJob]) -> list[str]:
    return [job.job_id for job in jobs]


def test_a_job_is_told_as_its_latest_step_has_it() -> None:
    index = JobIndex()
    log = Log(index)
    n = log.queued("j", content={"width": 3}, retry_of="i")
    log.started("j")
    log.add("j", {"action": "job_retrying", "payload": "again", "reason": "it broke", "attempt": 1})
    [job] = index.jobs
    assert (job.n, job.state, job.text, job.attempt, job.instance) == (n, "job_retrying", "again", 1, "w-1")
    log.started("j", attempt=2)
    assert (job.state, job.text, job.attempt, job.started_at) == ("job_started", "", 2, job.last_at)
    log.ended("j", text="y" * 1000)
    assert (job.state, job.ended, len(job.text), job.content) == ("job_result", True, LONGEST, '{"width":3}')
    assert (job.retry_of, job.queued_at) == ("i", "2026-01-02T03:04:06.000000Z")


def test_a_job_whose_beginning_is_cut_is_listed_with_what_is_known() -> None:
    index = JobIndex()
    Log(index).ended("j", text="over")
    assert [(job.task_type, job.content, job.text) for job in index.jobs] == [("?", "", "over")]


def test_a_job_that_is_carried_forward_stays_what_it_is_and_is_not_cut() -> None:
    index = JobIndex()
    log = Log(index)
    log.queued("j")
    log.queued("k")
    view = view_of(index)
    request = {"task_type": "translate", "job_type": "translate", "content": "hello"}
    inner = {"action": "job_queued", "payload": "…", "at": times.written(BEGAN)}
    seq = log.add("j", {"action": "job_carried", "payload": None, "event": inner, "request": request})
    index.cut_before(seq)
    assert ids(index.jobs) == ids(view.jobs) == ["j"]
    assert index.jobs[0].state == "job_queued"


def test_a_scheduled_job_is_queued_when_its_time_has_come() -> None:
    now = [BEGAN.timestamp()]
    index = JobIndex(clock=lambda: now[0])
    log = Log(index)
    begins = BEGAN + timedelta(minutes=1)
    log.queued("j", not_before=times.written(begins), waits=True)
    log.queued("k", not_before=times.written(begins), waits=True)
    log.ended("k", action="job_cancelled")
    view = view_of(index, states=["scheduled"])
    index.release()
    assert ids(view.jobs) == ["j"]
    now[0] = begins.timestamp()
    index.release()
    assert ids(view.jobs) == []
    assert +view.counts == {"job_queued": 1, "job_cancelled": 1}


def test_the_newest_are_kept_and_open_ones_before_ended_ones() -> None:
    index = JobIndex(most=10)
    log = Log(index)
    log.queued("open")
    for n in range(10 + SPARE):
        log.queued(f"j{n}")
        log.ended(f"j{n}")
    view = view_of(index)
    assert ids(index.jobs) == ids(view.jobs) == ["open", *(f"j{n}" for n in range(1 + SPARE, 10 + SPARE))]
    assert index.cut
    assert index.types == {"translate": 10}


def test_the_newest_are_kept_where_all_are_open() -> None:
    index = JobIndex(most=10)
    log = Log(index)
    for n in range(11 + SPARE):
        log.queued(f"j{n}")
    assert ids(index.jobs) == [f"j{n}" for n in range(1 + SPARE, 11 + SPARE)]


def test_a_page_stays_where_it_is_when_newer_jobs_come() -> None:
    index = JobIndex()
    log = Log(index)
    numbers = [log.queued(f"j{n}") for n in range(10)]
    view = view_of(index)
    assert ids(view.page(until=None, offset=0, limit=3)) == ["j9", "j8", "j7"]
    for n in range(10, 15):
        log.queued(f"j{n}")
    assert view.newer_than(numbers[-1]) == 5
    assert ids(view.page(until=numbers[-1], offset=2, limit=3)) == ["j7", "j6", "j5"]
    assert ids(view.page(until=numbers[-1], offset=8, limit=3)) == ["j1", "j0"]
    assert view.page(until=numbers[-1], offset=10, limit=3) == []
    assert view.page(until=0, offset=0, limit=3) == []


def test_text_is_found_in_every_place_whatever_its_case() -> None:
    index = JobIndex()
    log = Log(index)
    log.queued("aa1", content="Ärger mit dem ZUG")
    log.queued("bb2", client_id="ZUGspitze")
    log.queued("cc3")
    log.ended("cc3", text="der zug fährt ab")
    log.queued("zug")
    log.queued("dd4")
    assert ids(view_of(index, text=" Zug ").jobs) == ["aa1", "bb2", "cc3", "zug"]
    assert ids(view_of(index, text="ÄRGER").jobs) == ["aa1"]


async def test_what_happens_while_a_view_is_filled_is_in_it(monkeypatch: Any) -> None:
    index = JobIndex()
    log = Log(index)
    monkeypatch.setattr("quart_app.console.job_view.AT_ONCE", 2)
    for n in range(6):
        log.queued(f"j{n}")
    view = JobView(JobFilter(states=["job_queued"]))
    filling = asyncio.create_task(view.fill(index))
    await asyncio.sleep(0)  # two are looked at
    log.ended("j0")
    log.ended("j5")
    log.queued("j6")
    await filling
    assert ids(view.jobs) == ["j1", "j2", "j3", "j4", "j6"]
    assert +view.counts == {"job_queued": 5, "job_result": 2}


FILTERS: list[dict[str, Any]] = [
    {},
    {"states": ["job_queued", "job_started"]},
    {"task_type": "resize", "states": ["job_failed"]},
    {"client_id": "bob"},
    {"text": "salut"},
    {"since": times.written(BEGAN + timedelta(seconds=5)), "before": times.written(BEGAN + timedelta(seconds=20))},
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["queued", "started", "job_result", "job_failed", "job_cancelled", "cut", "clear"]),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(STEPS)
def test_a_view_is_always_what_a_look_at_every_job_would_find(steps: list[tuple[str, str, str]]) -> None:
    index = JobIndex(most=6)
    job_index_spare, job_index.SPARE = job_index.SPARE, 2
    try:
        views = [view_of(index, **asked) for asked in FILTERS]
        log = Log(index)
        for job_id, client_id, what in steps:
            match what:
                case "queued":
                    log.queued(job_id, client_id, type_="resize" if job_id < "d" else "translate")
                case "started":
                    log.started(job_id, client_id)
                case "cut":
                    index.cut_before(index.jobs[len(index.jobs) // 2].seq if index.jobs else 0)
                case "clear":
                    index.clear()
                case _:
                    log.ended(job_id, client_id, what)
            for view, asked in zip(views, FILTERS, strict=True):
                anew = view_of(index, **asked)
                index.viewers.discard(anew)
                assert ids(view.jobs) == ids(anew.jobs)
                assert +view.counts == +anew.counts
        assert [job.n for job in index.jobs] == sorted({job.n for job in index.jobs})
        assert sum(index.types.values()) == len(index.jobs)
    finally:
        job_index.SPARE = job_index_spare
