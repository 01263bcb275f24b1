"""JobTable: the jobs of `busctl jobs` as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from cli.amounts import span
from cli.columns import LONGEST_SHOWN, Column, Columns, fitting
from cli.events import EVENT_STYLES, STATES
from cli.listed_job import ListedJob
from cli.output import Output, Part, room
from cli.when import about, local_minute

SHORTEST_ID = 8
"""Characters of an id that a terminal shows at least; every command takes the beginning of one."""

JOB_COLUMNS = (
    Column("TYPE", 9, 20, 4),
    Column("STATE", 9, 9, 8),
    Column("TRY", 3, 3, 1, "dim", right=True),
    Column("AGE", 4, 4, 6, "dim", right=True),
    Column("TOOK", 4, 4, 3, "dim", right=True),
    Column("TEXT", 10, 24, 5, grows=True),
    Column("CLIENT", 8, 22, 2),
)
SCHEDULED_COLUMNS = (
    Column("TYPE", 9, 20, 4),
    Column("WHEN", 20, 20, 6),
    Column("IN", 7, 7, 8, right=True),
    Column("CONTENT", 10, 24, 5, grows=True),
    Column("CLIENT", 8, 22, 2),
)
"""Each beside that of the job's id."""


WHOLE_ID = 16
"""Characters of most ids; those of jobs with a key have more."""


class JobTable:
    """Jobs as a table for people: printed as they come, and in a terminal at the end, with columns that fit.

    Args:
        output: where it is printed.
        columns: of which it is made, beside that for the job's id.
        with_client: whether there is a column for the client.
    """

    def __init__(self, output: Output, columns: Sequence[Column], *, with_client: bool) -> None:
        self._output = output
        self._others = columns
        self._with_client = with_client
        self._room = room()
        self._rows: list[dict[str, Part]] = []
        self._columns: Columns | None = None

    def add(self, job: ListedJob) -> None:
        """Add a row. Of what is printed at the end it keeps only what is shown."""
        state, begins = job.state, job.begins
        row: dict[str, Part] = {
            "JOB": state.job_id,
            "TYPE": state.request.task_type,
            "CLIENT": state.client_id,
            "STATE": (STATES[state.state] if begins is None else "scheduled", EVENT_STYLES.get(state.state, "")),
            "TRY": str(job.attempt or ""),
            "AGE": span(job.age.total_seconds()),
            "TOOK": "" if job.took is None else span(job.took.total_seconds()),
            "WHEN": "" if begins is None else local_minute(begins),
            "IN": "" if begins is None else about(begins),
            "TEXT": self._cut(job.text),
            "CONTENT": self._cut(job.content),
        }
        if self._room is None:
            self._print(row, Columns(self._shown(WHOLE_ID), None))
        else:
            self._rows.append(row)

    def end(self) -> None:
        """Print what is left."""
        if self._rows:
            length = _telling_apart([str(row["JOB"]) for row in self._rows])
            rows = [row | {"JOB": str(row["JOB"])[:length]} for row in self._rows]
            columns = Columns(fitting(self._shown(length), rows), self._room)
            for row in rows:
                self._print(row, columns)

    def _cut(self, text: str) -> str:
        return text if self._room is None else " ".join(text[:LONGEST_SHOWN].split())

    def _print(self, row: dict[str, Part], columns: Columns) -> None:
        if self._columns is None:
            self._columns = columns
            self._output.line(*columns.header())
        self._output.line(*self._columns.row(row))

    def _shown(self, id_width: int) -> list[Column]:
        job = Column("JOB", id_width, id_width, 7, "bold", whole=True)
        return [job, *(column for column in self._others if column.name != "CLIENT" or self._with_client)]


def _telling_apart(ids: Sequence[str]) -> int:
    """How many characters of each id are enough to tell it from all the others."""
    different = set(ids)
    length = SHORTEST_ID
    while len({job_id[:length] for job_id in different}) < len(different):
        length += 1
    return length
