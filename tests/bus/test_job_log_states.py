"""The job log against a model: whatever workers, reconcilers and clients do in whatever order, stale or not."""

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from bus import AppendRefused, Settings, SyncBus, job_log, subjects
from bus.job_log import JobRequest, JobState, new_job_id
from testbed.servers import Nats

CLIENT = "stateful"
REQUEST = JobRequest(task_type="t", job_type="default", content="x")


class JobLife(RuleBasedStateMachine):
    """One job, and any number of parties that know a state of it, old or new."""

    bus: ClassVar[SyncBus]
    views = Bundle("views")

    def __init__(self) -> None:
        super().__init__()
        self.job_id = new_job_id()
        self.steps = 0
        self.current: JobState | None = None

    def append(self, view: JobState | None, step: Coroutine[Any, Any, JobState]) -> JobState | None:
        """Take a step from a view: it must succeed exactly when the view is current and the job is open."""
        stale = view is not self.current and (view is None or self.current is None or view.seq != self.current.seq)
        try:
            state = self.bus.call(lambda _: step)
        except AppendRefused:
            assert stale
            return view
        assert not stale
        self.steps += 1
        self.current = state
        return state

    @rule(target=views)
    def create(self) -> JobState | None:
        before = self.current
        state = self.append(
            None,
            job_log.create(self.bus.call(_stream), CLIENT, REQUEST, job_id=self.job_id),
        )
        return state if before is None else before

    @rule(target=views, view=views, verb=st.sampled_from(["start", "finish", "fail", "retry", "requeue"]))
    def step(self, view: JobState, verb: str) -> JobState:
        if view.ended or (verb == "retry" and not view.started):
            return view  # no party takes a step from an end it knows of, or ends an attempt that has not begun
        stream = self.bus.call(_stream)
        steps = {
            "start": lambda: job_log.start(stream, view),
            "finish": lambda: job_log.finish(stream, view, "done"),
            "fail": lambda: job_log.fail(stream, view, "failed"),
            "retry": lambda: job_log.retry(stream, view, "no", next_at=datetime.now(UTC)),
            "requeue": lambda: job_log.requeue(stream, view),
        }
        return self.append(view, steps[verb]()) or view

    @rule(target=views, view=views)
    def cancel(self, view: JobState) -> JobState:
        assert self.current is not None
        ended = self.current.ended
        state = self.bus.call(lambda bus: job_log.cancel(bus.stream, CLIENT, self.job_id))
        assert state.ended
        assert (state.seq == self.current.seq) == ended
        self.steps += not ended
        self.current = state
        return state

    @rule(target=views, view=views)
    def read(self, view: JobState) -> JobState:
        assert self.current is not None
        state = self.bus.call(lambda bus: job_log.read(bus.stream, CLIENT, self.job_id))
        assert (state.seq, state.last.action) == (self.current.seq, self.current.last.action)
        if not state.ended:
            assert state.attempt == self.current.attempt
        return state

    @invariant()
    def the_stream_has_every_accepted_step_and_at_most_one_end_which_is_last(self) -> None:
        async def stored(bus: Any) -> list[str]:
            subject = subjects.job(CLIENT, self.job_id)
            return [step.event.action async for step in job_log.steps(bus.stream, subject)]

        actions = self.bus.call(stored)
        assert len(actions) == self.steps
        ends = {"job_result", "job_failed", "job_cancelled"}
        assert not ends & set(actions[:-1])


async def _stream(bus: Any) -> Any:
    return bus.stream


@pytest.mark.timeout(240)
def test_the_job_log_keeps_its_promises(nats: Nats) -> None:
    with SyncBus(Settings.load(nats_url=nats.url)) as bus:
        JobLife.bus = bus
        run_state_machine_as_test(JobLife, settings=hypothesis_settings(max_examples=60, stateful_step_count=20))
