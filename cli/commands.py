"""The commands of `busctl`: which there are, and how each is found without importing the others."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from cli.help import Command, Group, first_paragraph

WRITE, RUN, TALK, LOOK = "Begin a project", "Run the system", "Talk to it", "See how it is"
COMMANDS = {
    "new": WRITE,
    "dev": RUN,
    "serve": RUN,
    "worker": RUN,
    "notify": TALK,
    "submit": TALK,
    "jobs": TALK,
    "cancel": TALK,
    "retry": TALK,
    "watch": TALK,
    "token": TALK,
    "status": LOOK,
    "doctor": LOOK,
    "conns": LOOK,
    "top": LOOK,
}
"""Each is the function of that name in the module of that name; and the panel of the help that it stands in."""

TAKES_ALL = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For `worker`, which hands on what it does not know itself."""


class Commands(Group):
    """All of them. The module of one is imported when it is called: what it needs is no other's start-up time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, panel in COMMANDS.items():
            self.commands[name] = Command(name, help=summary(name), rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is called, with the arguments that are left for it."""
        name, known, left = super().resolve_command(ctx, args)
        return name, known and command(str(name)), left


def command(name: str) -> Any:
    """The command of this name, whose module is imported."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = TAKES_ALL if name == "worker" else None
    alone.command(name, cls=Command, context_settings=settings)(getattr(import_module(f"cli.{name}"), name))
    return get_command(alone)


def summary(name: str) -> str:
    """The first paragraph of a command's docstring, read from its source and not imported."""
    found = find_spec(f"cli.{name}")
    source = Path(found.origin).read_text("utf-8") if found is not None and found.origin else ""
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name)
    return first_paragraph(ast.get_docstring(next(functions)))
