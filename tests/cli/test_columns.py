"""Columns: rows fit into any terminal, and are whole elsewhere."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from cli.columns import Column, Columns
from cli.output import Part

COLUMNS = (
    Column("ID", 6, 6, 4, whole=True),
    Column("WHO", 5, 10, 1),
    Column("STATE", 7, 7, 5),
    Column("AGE", 3, 3, 2, right=True),
    Column("TEXT", 5, 20, 3),
)
CELLS: dict[str, Part] = {
    "ID": "a1b2c3",
    "WHO": "somebody",
    "STATE": ("running", "cyan"),
    "AGE": "5s",
    "TEXT": "🌍 two\nlines \x1b[2J " + "x" * 100,
}


def row(room: int | None, cells: dict[str, Part] = CELLS) -> str:
    parts = Columns(COLUMNS, room).row(cells)
    return "".join(part if isinstance(part, str) else part[0] for part in parts)


@pytest.mark.parametrize("room", range(7, 200))
def test_a_row_fits_and_has_its_state(room: int) -> None:
    shown = row(room)
    assert cell_len(shown) <= room
    assert "running" in shown


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (8, "running"),
        (12, "a1b… running"),
        (14, "a1b2c3 running"),
        (20, "a1b2c3 running 🌍 t…"),
        (26, "a1b2c3 running  5s 🌍 two…"),
        (40, r"a1b2c3 some… running  5s 🌍 two lines \…"),
        (60, r"a1b2c3  somebody    running   5s  🌍 two lines \x1b[2J xxxx…"),
        (None, r"a1b2c3  somebody    running   5s  🌍 two lines \x1b[2J " + "x" * 100),
    ],
)
def test_what_matters_least_goes_first(room: int | None, shown: str) -> None:
    assert row(room) == shown


def test_an_id_is_cropped_in_a_narrow_terminal_only() -> None:
    longer = CELLS | {"ID": "a1b2c3d4e5", "WHO": "somebody-else"}
    assert row(None, longer).startswith("a1b2c3d4e5  somebody-else  running")
    assert row(80, longer).startswith("a1b2c3d4e5  somebody-…  running")
    assert row(30, longer).startswith("a1b2c… some… running")


def test_the_header_is_laid_out_like_a_row() -> None:
    header = "".join(part if isinstance(part, str) else part[0] for part in Columns(COLUMNS, 80).header())
    assert header == "ID      WHO         STATE    AGE  TEXT"
