"""Customers from a CSV file into a database: with progress, a list of the rows that are wrong, and no row twice.

    BUS_JOBS=examples.import_csv busctl dev

The file is read once, a row at a time, however long it is.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from busctl import Fail, JobContext, job
from examples.files import existing

ROWS_AT_ONCE = 500
"""Rows of one transaction; progress is told after each."""
MOST_LISTED = 20
"""Wrong rows that the result names. The others are counted."""


class Import(BaseModel):
    """Which file, and where its rows go."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(min_length=1, max_length=200, description="Columns: email, name, credit.")
    database: str = Field(default="customers", pattern="^[a-z0-9_-]{1,40}$", description="Made when it is not there.")


class Customer(BaseModel):
    """One row."""

    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    credit: int = Field(ge=0)


class Wrong(BaseModel):
    """A row that was left out."""

    line: int
    reason: str


class Imported(BaseModel):
    """What became of the rows."""

    imported: int = 0
    left_out: int = 0
    wrong: list[Wrong] = Field(default=[], description=f"The first {MOST_LISTED} that were left out.")


@job(time_limit=3600)
def import_csv(content: Import, job: JobContext) -> Imported:
    """Import customers from a CSV file."""
    source = existing(content.file)
    size, done = source.stat().st_size, Imported()

    def read(position: int) -> None:
        job.progress(min(position / size, 1.0), f"{done.imported:,} imported, {done.left_out:,} left out")

    with closing(sqlite3.connect(source.with_name(f"{content.database}.sqlite"))) as database:
        database.execute("CREATE TABLE IF NOT EXISTS customer (email TEXT PRIMARY KEY, name TEXT, credit INTEGER)")
        for customers in _batches(source, done, read):
            # A transaction: a worker that dies here leaves none of these rows, and the next attempt writes them again.
            with database:
                database.executemany(
                    "INSERT INTO customer VALUES (:email, :name, :credit) "
                    "ON CONFLICT (email) DO UPDATE SET name = excluded.name, credit = excluded.credit",
                    [customer.model_dump() for customer in customers],
                )
            done.imported += len(customers)
    return done


def _batches(source: Path, done: Imported, read: Callable[[int], None]) -> Iterator[list[Customer]]:
    """The good rows, so many at a time; what is wrong with others is noted. `read` is told the position in bytes."""
    with source.open("rb") as file:
        rows = csv.DictReader((line.decode("utf-8-sig") for line in file), strict=True)
        if missing := set(Customer.model_fields) - set(rows.fieldnames or ()):
            raise Fail(f"{source.name} has no column {', '.join(sorted(missing))}; its first line has to name them")
        customers = []
        try:
            for row in rows:
                try:
                    customers.append(Customer.model_validate(row))
                except ValidationError as error:
                    _note(done, rows.line_num, error)
                if len(customers) == ROWS_AT_ONCE:
                    yield customers
                    customers = []
                    read(file.tell())
        except (csv.Error, UnicodeDecodeError) as error:
            raise Fail(f"line {rows.line_num + 1} of {source.name} cannot be read: {error}") from error
        yield customers


def _note(done: Imported, line: int, error: ValidationError) -> None:
    done.left_out += 1
    if len(done.wrong) < MOST_LISTED:
        reasons = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        done.wrong.append(Wrong(line=line, reason="; ".join(reasons)))
