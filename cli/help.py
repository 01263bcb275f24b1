"""What `--help` shows: usage, what the command does, and names with their meanings in two columns, by panel."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

PANEL = "Common options"
"""The panel of options that commands share."""
WIDEST = 100
"""Columns of a help at most: longer lines are hard to read."""
WIDEST_NAME = 30
EXAMPLE = "Example: "
"""What begins the last paragraph of a command's docstring."""
Row = tuple[str, str]
"""A name, and what it means."""


class Command(TyperCommand):
    """A command with such a help."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the command's name in the line that says how to use it."""
        arguments = (one for one in self.params if one.param_type_name == "argument")
        return ["[OPTIONS]", *(_argument(one) for one in arguments)]

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write that line."""
        _write_usage(self, ctx, formatter)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the command does."""
        _write_text(self.help, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write its arguments, its options, and those that it shares with other commands."""
        panels: dict[str, list[Row]] = {"Arguments": [], "Options": [], PANEL: []}
        for one in self.get_params(ctx):
            panels[_panel(one)].append(_row(one, ctx))
        _write_panels(panels, formatter)


class Group(TyperGroup):
    """A command that has others, with such a help."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write how to use it, in one line."""
        _write_usage(self, ctx, formatter)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what it does."""
        _write_text(self.help, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write its commands by panel, and its options."""
        panels: dict[str, list[Row]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panels.setdefault(command.rich_help_panel, []).append((name, first_paragraph(command.help)))
        _write_panels(panels, formatter)
        _write_panels({"Options": [_row(one, ctx) for one in self.get_params(ctx)]}, formatter)


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def in_colour() -> bool:
    """Whether standard output gets colours, as Rich decides that for everything else."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


def _write_usage(command: Any, ctx: Any, formatter: Any) -> None:
    ctx.find_root().color = in_colour()
    ctx.color = in_colour()
    pieces = " ".join(command.collect_usage_pieces(ctx))
    formatter.write_usage(ctx.command_path, pieces, prefix=f"{_heading('Usage:')} ")


def _write_text(docstring: str | None, formatter: Any) -> None:
    text, _, example = inspect.cleandoc(docstring or "").partition(EXAMPLE)
    formatter.write_paragraph()
    formatter.write_text(text.strip())
    if example:
        formatter.write_paragraph()
        formatter.write(f"{_heading('Example:')}\n  {example.strip()}\n")


def _write_panels(panels: Mapping[str, Iterable[Row]], formatter: Any) -> None:
    longest = max(len(name) for rows in panels.values() for name, _ in rows)
    width = min(longest, WIDEST_NAME)
    for panel, rows in panels.items():
        if rows:
            formatter.write_paragraph()
            formatter.write(f"{_heading(f'{panel}:')}\n")
            with formatter.indentation():
                formatter.write_dl([(_name(f"{name:{width}}"), meaning) for name, meaning in rows], col_max=WIDEST_NAME)


def _panel(one: Any) -> str:
    if one.param_type_name == "argument":
        return "Arguments"
    return PANEL if "--help" in one.opts or one.rich_help_panel == PANEL else "Options"


def _row(one: Any, ctx: Any) -> Row:
    if one.param_type_name == "argument":
        return _argument(one), one.help
    short = [name for name in one.opts if not name.startswith("--")]
    long = [name for name in one.opts if name.startswith("--")]
    names = ", ".join([*short, *long]) if short else f"    {', '.join(long)}"
    value = "" if one.is_flag or not one.metavar else f" {one.metavar}"
    facts = "; ".join(filter(None, [_bounds(one), _default(one, ctx)]))
    return names + value, f"{one.help} [{facts}]" if facts else one.help


def _argument(one: Any) -> str:
    return f"{one.metavar}..." if one.nargs != 1 else str(one.metavar)


def _bounds(one: Any) -> str:
    if getattr(one, "min", None) is None:
        return ""
    return f"{one.min:,} or more" if one.max is None else f"{one.min:,} to {one.max:,}"


def _default(one: Any, ctx: Any) -> str:
    if one.required:
        return "required"
    value = one.get_default(ctx, call=False)
    return "" if one.is_flag or value in (None, [], ()) else f"default: {value}"


def _heading(text: str) -> str:
    return typer.style(text, bold=True) if in_colour() else text


def _name(text: str) -> str:
    return typer.style(text, fg=typer.colors.CYAN) if in_colour() else text
