"""What a worker counts, in the Prometheus text format. docs/reference/metrics.md is made from what stands here."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial

from celery.worker.state import active_requests
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from bus.space import Usage
from workers.child_counters import ChildCounter
from workers.job_metrics import OTHER, JobMetrics


class WorkerMetrics:
    """The metrics of one worker, kept in its main process. Made before Celery forks; any thread may use it.

    Args:
        types: the registered job types.
    """

    def __init__(self, types: Collection[str]) -> None:
        self._pid = os.getpid()
        self._types = frozenset(types)
        self._registry = CollectorRegistry()
        self._now = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        child_counter = partial(ChildCounter, registry=self._registry)
        self.leads = Gauge(
            "busctl_reconciles", "Whether this worker is the one that reconciles.", registry=self._registry
        )
        self.tasks = Gauge("busctl_worker_tasks", "Tasks that run in this worker.", registry=self._registry)
        self.tasks.set_function(lambda: len(active_requests))
        self.jobs = JobMetrics(self._registry, self._now, types)
        """What is counted of jobs, by the worker that reconciles alone."""
        self.actions = counter(
            "busctl_reconciler_actions",
            "What the reconciler did: let_in, a job whose turn had come; enqueued_again, one that nobody held; failed, "
            "after its last attempt; gave_up, one whose events are gone or foreign.",
            ["action"],
        )
        for action in ("let_in", "enqueued_again", "failed", "gave_up"):
            self.actions.labels(action)
        self.slots = counter(
            "busctl_schedule_slots",
            "Slots of schedules: made, of which there is a job; missed, because the job of another one was open "
            "for too long, or no worker was there.",
            ["schedule", "outcome"],
        )
        self.fill = Gauge("busctl_stream_fill_ratio", "How full the event stream is, from 0 to 1.", registry=self._now)
        self.used = Gauge("busctl_stream_used_bytes", "Bytes of the events in the stream.", registry=self._now)
        self.pieces = child_counter("busctl_output_pieces", "Pieces that jobs wrote, stored.", "type", (*types, OTHER))
        self.piece_bytes = child_counter("busctl_output_bytes", "Bytes of these pieces.", "type", (*types, OTHER))
        self.refused = child_counter(
            "busctl_refused_steps",
            "Steps that NATS refused because somebody else took the next one, such as the late word of a worker that "
            "was frozen: claim, output or end.",
            "step",
            ("claim", "output", "end"),
        )
        self.returned = child_counter(
            "busctl_tasks_returned",
            "Tasks given back to Redis: no_lease, this worker cannot prove that it lives; nats_away, it could not "
            "begin them; foreign, perhaps another system's.",
            "why",
            ("no_lease", "nats_away", "foreign"),
        )
        self.children_lost = counter("busctl_worker_children_lost", "Children that died, or were killed, in a task.")
        self.malformed = counter(
            "busctl_worker_malformed_messages", "Messages in Redis, or broadcast, that were no task."
        )
        self.foreign = counter("busctl_worker_foreign_tasks", "Tasks of other applications, left in Redis.")
        self.redis_outages = counter(
            "busctl_worker_redis_outages", "How often taking tasks from Redis failed, and connecting to it again."
        )
        self.nats_up = Gauge(
            "busctl_nats_up", "Whether this worker's main process can use NATS and the stream.", registry=self._registry
        )
        self.nats_outages = counter("busctl_nats_outages", "How often that ended: a lost connection, or a refusal.")

    def nats(self, works: bool) -> None:
        """NATS can be used from now on, or it cannot any more."""
        if os.getpid() != self._pid:
            return  # a child's connection; and the lock of a number may be anybody's after a fork
        self.nats_up.set(works)
        if not works:
            self.nats_outages.inc()

    def piece(self, job_type: str, size: int) -> None:
        """A job has written a piece of so many bytes. Called in children too."""
        label = job_type if job_type in self._types else OTHER
        self.pieces.add(label)
        self.piece_bytes.add(label, size)

    def stream(self, usage: Usage) -> None:
        """How full the stream is now."""
        self.fill.set(usage.share)
        self.used.set(usage.used)

    def text(self) -> bytes:
        """Everything. What is known to the worker that reconciles alone is left out by the others."""
        reconciles = self._registry.get_sample_value("busctl_reconciles")
        return generate_latest(self._registry) + (generate_latest(self._now) if reconciles else b"")
