"""Counters that the children of a worker add to and its main process shows, over a piece of memory that they share.

prometheus-client's own way is a file for each process, which stays when the child is gone: a worker whose children are
replaced would gather them, and leave them behind when it is killed. Here a child that takes the place of another goes
on with its numbers. Made before Celery forks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from mmap import mmap

from billiard.process import current_process
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

ROWS = 1024
"""Children that have numbers of their own; more of them share, and may now and then overwrite each other's."""


class ChildCounter(Collector):
    """One counter with one label.

    Args:
        name, documentation: as for a `prometheus_client.Counter`.
        label: the label's name.
        values: every value that it can have.
        registry: where the main process shows it.
    """

    def __init__(
        self, name: str, documentation: str, label: str, values: Iterable[str], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labelnames = (label,)
        self._cells = {value: cell for cell, value in enumerate(dict.fromkeys(values))}
        # A row for each child, so that nobody has to wait for another, which may be killed at any moment.
        self._memory = memoryview(mmap(-1, ROWS * max(1, len(self._cells)) * 8)).cast("d")
        self._lock = threading.Lock()
        registry.register(self)

    def add(self, value: str, amount: float = 1) -> None:
        """Count.

        Args:
            value: of the label.
        """
        row = getattr(current_process(), "index", 0) % ROWS
        cell = row * len(self._cells) + self._cells[value]
        with self._lock:  # between threads; never held in the process that forks, which does not count here
            self._memory[cell] += amount

    def total(self, value: str) -> float:
        """What all children have counted."""
        return sum(self._memory[self._cells[value] :: len(self._cells)])

    def describe(self) -> Sequence[Metric]:
        """Without numbers, as `Collector` has it."""
        return [CounterMetricFamily(self._name, self._documentation, labels=self._labelnames)]

    def collect(self) -> Sequence[Metric]:
        """With numbers, as `Collector` has it."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labelnames)
        for value in self._cells:
            family.add_metric([value], self.total(value))
        return [family]
