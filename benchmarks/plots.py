"""Plots of a run: `python -m benchmarks.plots RESULTS.json DIRECTORY`, by a Python that has matplotlib.

It is a program of its own because matplotlib lives in `.venv-bench`, where this project is not installed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

OURS = "busctl"
OWN_COLOURS = ("#c8102e", "#e8798a", "#8a5a00")
COLOURS = ("#1f5fa8", "#2e7d4f", "#6b4fa0", "#d08a00", "#5a5a5a", "#00838f")


@dataclass(frozen=True)
class Panel:
    """One quantity over its loads, a line for each contestant; over one load only, a bar.

    Args:
        what: the quantity.
        title: above it.
        loads: what the horizontal axis counts.
        load: draw bars, of this load.
    """

    what: str
    title: str
    loads: str
    load: int | None = None


PLOTS: dict[str, tuple[Panel, ...]] = {
    "fan-out-cpu": (
        Panel("paced fan-out, CPU", "Paced: one message after the other", "sockets"),
        Panel("burst fan-out, CPU", "Burst: 20 messages in flight", "sockets"),
    ),
    "fan-out-last": (
        Panel("paced fan-out, last client has it, p50", "Last of 1,000 clients has it, p50", "sockets", 1000),
        Panel("paced fan-out, last client has it, p99", "Last of 1,000 clients has it, p99", "sockets", 1000),
    ),
    "connections": (
        Panel("connect, CPU", "Cost of connecting", "connections", 5000),
        Panel("memory of an idle connection", "Memory of an idle connection", "connections", 5000),
    ),
    "resume": (
        Panel("resume after 100 events of its own, CPU", "Resume: 100 events of its own", "clients at once"),
        Panel("resume after 100 events that were broadcast, CPU", "Resume: 100 broadcasts", "clients at once"),
    ),
    "jobs": (
        Panel("jobs at once", "Jobs submitted at once", "jobs"),
        Panel("one job at a time, p50", "Submit to result, p50", "job", 1),
    ),
}


def draw(figures: list[dict[str, object]], panels: tuple[Panel, ...], file: Path) -> bool:
    """Draw the panels side by side. Returns whether there was anything to draw."""
    found = [(panel, [figure for figure in figures if figure["what"] == panel.what]) for panel in panels]
    found = [(panel, some) for panel, some in found if any(panel.load in (None, one["load"]) for one in some)]
    if not found:
        return False
    canvas, axes = pyplot.subplots(1, len(found), figsize=(4.6 * len(found), 3.4), squeeze=False, layout="constrained")
    for axis, (panel, some) in zip(axes[0], found, strict=True):
        axis.set_title(panel.title, fontsize=10)
        if panel.load is None:
            _lines(axis, panel, some)
        else:
            _bars(axis, [one for one in some if one["load"] == panel.load])
        axis.spines[["top", "right"]].set_visible(False)
    if found[0][0].load is None:
        handles, labels = axes[0][0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    canvas.savefig(file, metadata={"Date": None})
    pyplot.close(canvas)
    return True


def _colours(names: list[str]) -> dict[str, str]:
    own, others = iter(OWN_COLOURS), iter(COLOURS)
    return {name: next(own if name.startswith(OURS) else others, "black") for name in names}


def _median(figure: dict[str, object]) -> float:
    ordered = sorted(figure["rounds"])  # type: ignore[call-overload]
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def _lines(axis: pyplot.Axes, panel: Panel, figures: list[dict[str, object]]) -> None:
    names = list(dict.fromkeys(str(figure["who"]) for figure in figures))
    loads = sorted({int(str(figure["load"])) for figure in figures})
    for name, colour in _colours(names).items():
        points = sorted((int(str(one["load"])), _median(one)) for one in figures if one["who"] == name)
        width = 2.4 if name.startswith(OURS) else 1.4
        axis.plot(*zip(*points, strict=True), marker="o", ms=4, lw=width, color=colour, label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(loads, [f"{load:,}" for load in loads], fontsize=8)
    axis.minorticks_off()
    ticks = [t * 10**e for e in range(-3, 6) for t in (1, 2, 3, 5, 7)]
    low, high = axis.get_ylim()
    axis.set_yticks([t for t in ticks if low <= t <= high], [f"{t:g}" for t in ticks if low <= t <= high], fontsize=8)
    axis.set_ylim(low, high)
    axis.grid(axis="y", color="#dddddd", lw=0.6)
    axis.set_xlabel(panel.loads, fontsize=9)
    axis.set_ylabel(str(figures[0]["unit"]), fontsize=9)


def _bars(axis: pyplot.Axes, figures: list[dict[str, object]]) -> None:
    names = [str(figure["who"]) for figure in figures][::-1]
    values = [_median(figure) for figure in figures][::-1]
    colours = _colours(names[::-1])
    bars = axis.barh(names, values, color=[colours[name] for name in names], height=0.65)
    axis.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.set_xlim(0, 1.15 * max(values))
    axis.set_xlabel(str(figures[0]["unit"]), fontsize=9)


def main() -> None:
    """Draw every plot that the results have figures for, and print its name."""
    results, place = Path(sys.argv[1]), Path(sys.argv[2])
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "busctl", "font.family": "sans-serif", "figure.facecolor": "white"})
    figures = [figure for some in json.loads(results.read_text())["topics"].values() for figure in some]
    for name, panels in PLOTS.items():
        if draw(figures, panels, place / f"{name}.svg"):
            print(name)


if __name__ == "__main__":
    main()
