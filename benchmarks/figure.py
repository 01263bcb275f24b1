"""What a benchmark hands back: figures, and the targets to hold them against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


class Invalid(Exception):
    """A run proves nothing: something was lost, died or did not come in time. Run again; if it stays, it is a bug."""


@dataclass(frozen=True)
class Figure:
    """One quantity, measured once a round.

    Args:
        what: the quantity, such as `paced fan-out, CPU`.
        who: the contestant, such as `busctl serve`.
        load: how much of it at once: sockets, jobs, clients.
        unit: of the values, such as `µs per delivery`.
        rounds: the value of each round.
    """

    what: str
    who: str
    load: int
    unit: str
    rounds: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)


@dataclass(frozen=True)
class Target:
    """What a figure should reach.

    Args:
        text: the target in words.
        what: the quantity of the figure, and of the one it is divided by.
        who: whose figure.
        load: at which load.
        bound: the value, or the ratio, to reach.
        against: divide by this contestant's figure; None to take the value itself.
        at_least: reaching it means to be at least `bound`, else at most.
    """

    text: str
    what: str
    who: str
    load: int
    bound: float
    against: str | None = None
    at_least: bool = False

    def measured(self, figures: Iterable[Figure]) -> float | None:
        """The value or ratio to hold against `bound`; None when this run has not measured it."""
        found = {figure.who: figure.value for figure in figures if (figure.what, figure.load) == (self.what, self.load)}
        if self.who not in found or (self.against is not None and not found.get(self.against)):
            return None
        return found[self.who] / (found[self.against] if self.against is not None else 1.0)

    def reached(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound
