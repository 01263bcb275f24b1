"""Figures as tables of text: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from benchmarks.figure import Figure, Target

Rows = Sequence[Sequence[str]]


def tables(figures: Iterable[Figure]) -> Iterator[tuple[str, Rows]]:
    """One table for each quantity: its title, and rows of cells, the header first. Columns are loads."""
    by_quantity: dict[str, list[Figure]] = {}
    for figure in figures:
        by_quantity.setdefault(f"{figure.what} ({figure.unit})", []).append(figure)
    for title, some in by_quantity.items():
        loads = sorted({figure.load for figure in some})
        values = {(figure.who, figure.load): number(figure.value) for figure in some}
        names = dict.fromkeys(figure.who for figure in some)
        rows = [[name, *(values.get((name, load), "") for load in loads)] for name in names]
        yield title, [["", *(f"{load:,}" for load in loads)], *rows]


def targets(wanted: Iterable[Target], figures: Sequence[Figure]) -> Rows:
    """Rows of target, bound, measured, and pass or FAIL; the header first. What was not measured is left out."""
    rows = [["target", "wanted", "measured", "result"]]
    for target in wanted:
        value = target.measured(figures)
        if value is not None:
            bound = f"{'≥' if target.at_least else '≤'} {number(target.bound)}"
            rows.append([target.text, bound, number(value), "pass" if target.reached(value) else "FAIL"])
    return rows


def better(figures: Sequence[Figure], ours: Sequence[str], others: Sequence[str]) -> Rows:
    """Rows of every quantity and load where one of the others does better than ours does; the header first.

    Args:
        ours: names under which we are measured; the first of them that has a figure is compared.
        others: names of the contestants to compare with.
    """
    rows = [["quantity", "at", "who", "theirs", "ours"]]
    values = {(figure.what, figure.load, figure.who): figure.value for figure in figures}
    for figure in figures:
        if figure.who not in others:
            continue
        mine = next((values[key] for who in ours if (key := (figure.what, figure.load, who)) in values), None)
        if mine is not None and (figure.value > mine if figure.unit.endswith("/s") else figure.value < mine):
            cells = [f"{figure.what} ({figure.unit})", f"{figure.load:,}", figure.who]
            rows.append([*cells, number(figure.value), number(mine)])
    return rows


def spread(figures: Iterable[Figure]) -> float:
    """By how much of its median the typical figure differs between its lowest and its highest round."""
    return median((max(figure.rounds) - min(figure.rounds)) / (figure.value or 1.0) for figure in figures)


def plain(rows: Rows) -> str:
    """A table for a terminal: first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows: Rows) -> str:
    """A table in Markdown, aligned as `plain` does it."""
    header, *body = rows
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *body))


def number(value: float) -> str:
    """A number with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
