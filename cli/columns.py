"""Columns: rows that fit into a terminal, and are whole everywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from cli.output import Part, printable

WIDE_GAP = "  "
LONGEST_SHOWN = 1000
"""Characters of a text that are looked at for a line of a terminal."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        name: its header.
        least: how wide it is in a narrow terminal.
        most: how wide it is elsewhere.
        rank: the lowest goes first where there is no room for all; the highest is always shown.
        style: of its cells, unless they have one.
        right: whether its cells end below each other.
        whole: never crop a cell of it, but in a narrow terminal.
        grows: it takes what the others leave; without one, the last does.
        widest: what is in it; it does not grow beyond that.
    """

    name: str
    least: int
    most: int
    rank: int
    style: str = ""
    right: bool = False
    whole: bool = False
    grows: bool = False
    widest: int = LONGEST_SHOWN


class Columns:
    """Lays out rows.

    Args:
        columns: from left to right.
        room: columns of the terminal; None for no bound, where nothing is cropped.
    """

    def __init__(self, columns: Sequence[Column], room: int | None) -> None:
        self._room = room
        self._last = columns[-1]
        self._grows = next((column for column in columns if column.grows), self._last)
        wide = sum(column.most + len(WIDE_GAP) for column in columns)
        self._whole = room is None or wide <= room
        self._gap = WIDE_GAP if self._whole else " "
        self._sizes = {column: column.most if self._whole else column.least for column in columns}
        while room is not None and len(self._sizes) > 1 and self._used > room:
            self._shrink(min(self._sizes, key=lambda column: column.rank), room)
        if next(reversed(self._sizes)) is self._grows:
            self._last = self._grows
        elif room is not None and self._grows in self._sizes:
            self._sizes[self._grows] = max(1, min(self._grows.widest, self._sizes[self._grows] + room - self._used))

    def header(self) -> list[Part]:
        """The names of the columns that are shown."""
        return self.row({column.name: column.name for column in self._sizes}, style="bold")

    def row(self, cells: Mapping[str, Part], style: str = "") -> list[Part]:
        """One line, as parts for `Output.line`.

        Args:
            cells: a text, or a text with its style, by column; those of columns for which there is no room too.
            style: of cells without one.
        """
        parts: list[Part] = []
        left = self._room
        for column, size in self._sizes.items():
            text, own = _split(cells[column.name])
            shown = self._cell(text, column, size) if column is not self._last else _fitted(text, left)
            parts += [(shown, style or own or column.style), self._gap]
            if left is not None:
                left -= cell_len(shown) + len(self._gap)
        return parts[:-1]

    @property
    def _used(self) -> int:
        return sum(self._sizes.values()) + len(self._gap) * (len(self._sizes) - 1)

    def _shrink(self, column: Column, room: int) -> None:
        over = self._used - room
        if len(self._sizes) == 2 and self._sizes[column] - over >= 4:
            self._sizes[column] -= over  # a beginning is better than nothing beside the state
        else:
            del self._sizes[column]

    def _cell(self, text: str, column: Column, size: int) -> str:
        shown = printable(text)
        length = cell_len(shown)
        if length > size:
            return (
                shown if self._room is None or (self._whole and column.whole) else set_cell_size(shown, size - 1) + "…"
            )
        return " " * (size - length) + shown if column.right else shown + " " * (size - length)


def fitting(columns: Sequence[Column], rows: Sequence[Mapping[str, Part]]) -> list[Column]:
    """The columns, none of them wider than what is in these rows, or its header."""
    fitted = []
    for column in columns:
        cells = (cell_len(printable(_split(row[column.name])[0])) for row in rows)
        widest = max(len(column.name), *cells)
        fitted.append(replace(column, least=min(column.least, widest), most=min(column.most, widest), widest=widest))
    return fitted


def _fitted(text: str, left: int | None) -> str:
    if left is None:
        return printable(text)
    shown = Text(printable(text[:LONGEST_SHOWN]))
    shown.truncate(max(1, left), overflow="ellipsis")
    return shown.plain


def _split(part: Part) -> tuple[str, str]:
    return (part, "") if isinstance(part, str) else part
