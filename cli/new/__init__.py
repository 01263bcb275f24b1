"""`busctl new`: a project of one's own, or one more job or channel in it, each with its test."""

from __future__ import annotations

import json
import keyword
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from string import Template
from typing import Annotated, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from bus import Settings
from cli.errors import CommandFailed
from cli.options import NoColor, Quiet
from cli.output import Output

HERE = Path(__file__).parent
PLACEHOLDER = "app_name"
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
OURS = frozenset(["bus", "busctl", "busctl_client", "cli", "quart_app", "tests", "workers"])
USED = frozenset(
    ["celery", "cryptography", "hypercorn", "jwt", "kombu", "nats", "pydantic", "pytest", "quart", "redis", "rich"]
).union(["structlog", "typer", "websockets"])
"""A project of such a name would be imported in the place of what busctl needs."""
TAKEN = {"job": ("run",), "channel": ("console", "system")}
"""By kind: what its test calls something else, and channels that there are already."""

Kind = Annotated[
    Literal["project", "job", "channel"],
    typer.Argument(metavar="project|job|channel", help="What to write.", show_default=False),
]


def _package(value: str | None) -> str | None:
    if value is not None and not PACKAGE.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no package; name it as it is imported, such as shop.jobs")
    return value


Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Its name: small letters, digits and underscores.", show_default=False),
]
In = Annotated[
    str | None,
    typer.Option(
        "--in",
        metavar="PACKAGE",
        callback=_package,
        help="The package that a job or channel goes into; by default the first of BUS_JOBS or BUS_CHANNELS, as "
        "bus.env has them.",
    ),
]


def new(kind: Kind, name: Name, into: In = None, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Write a small project of your own that works, or one more job or channel in it, each with its test.

    Nothing that exists is overwritten.

    Example: busctl new project shop
    """
    output = Output(as_json=False, quiet=quiet)
    _check(kind, name)
    if kind == "project":
        files = _project(name)
        _write(files)
        output.line(("Written: ", "green"), f"{name}/, {len(files)} files.")
        output.line("Next: ", (f"cd {name} && make dev{_ours()}", "bold"), ", then open http://127.0.0.1:8000/")
        return
    files = _one(kind, name, into)
    _require_new(files)
    _write(files)
    for path in files:
        output.line(("Written: ", "green"), str(path))
    output.line("Next: ", ("make test", "bold"), ", and make it do something")


def _check(kind: str, name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise typer.BadParameter(
            f"{name!r} cannot be the name of a Python module; use small letters, digits and underscores, such as "
            "print_order"
        )
    if name in OURS | USED | sys.stdlib_module_names:
        raise typer.BadParameter(f"{name!r} is the name of a module that there is already; choose another")
    if name in TAKEN.get(kind, ()):
        raise typer.BadParameter(f"{name!r} is a name that busctl uses itself; choose another")


def _project(name: str) -> dict[Path, str]:
    """The files of a project, by path."""
    root = Path(name)
    if root.exists():
        raise CommandFailed(f"there is a {name} here already, which is left as it is; choose another name or folder")
    files = {}
    for source in sorted(path for path in (HERE / "project").rglob("*") if path.is_file()):
        below = source.relative_to(HERE / "project")
        if "__pycache__" in below.parts:
            continue
        # Before the name is put in, which may begin so too.
        parts = (re.sub("^dot_", ".", part).replace(PLACEHOLDER, name) for part in below.parts)
        files[root.joinpath(*parts)] = source.read_text().replace(PLACEHOLDER, name)
    return files


def _ours() -> str:
    """What has `make` install busctl from where this one came from, if that was a folder or a wheel on this machine."""
    origin = json.loads(distribution("busctl").read_text("direct_url.json") or "{}")
    url = urlsplit(origin.get("url", ""))
    path = Path(url2pathname(url.path))
    return f" BUSCTL={shlex.quote(str(path))}" if url.scheme == "file" and path.exists() else ""


def _one(kind: str, name: str, into: str | None) -> dict[Path, str]:
    """The files of one job or channel, by path."""
    variable = "BUS_JOBS" if kind == "job" else "BUS_CHANNELS"
    package = into or _named(variable)
    folder = Path(*package.split("."))
    if not folder.is_dir():
        raise CommandFailed(
            f"there is no folder {folder} here for the package {package}; change to the folder of the project, or name "
            "another package with --in"
        )
    words = {
        "name": name,
        "path": name.replace("_", "-"),
        "class_name": "".join(part.title() for part in name.split("_")),
        "title": name.replace("_", " ").capitalize(),
        "module": f"{package}.{name}",
    }
    paths = {folder / f"{name}.py": f"{kind}.py.txt", Path("tests", f"test_{name}.py"): f"test_{kind}.py.txt"}
    return {path: Template((HERE / source).read_text()).substitute(words) for path, source in paths.items()}


def _named(variable: str) -> str:
    """The first package that the environment names, or a file `bus.env` here."""
    settings = Settings.load()
    named = settings.jobs if variable == "BUS_JOBS" else settings.channels
    for package in (*named, *_in_file(variable)):
        return package
    raise CommandFailed(
        f"it is not said where it goes: there is no {variable}, and no bus.env here that has it; change to the folder "
        "of the project ('busctl new project NAME' writes one), or name a package with --in"
    )


def _in_file(variable: str) -> Iterator[str]:
    path = Path("bus.env")
    if path.is_file():
        for line in path.read_text().splitlines():
            name, _, value = line.partition("=")
            if name.strip() == variable:
                yield from filter(None, (part.strip() for part in value.split(",")))


def _require_new(files: dict[Path, str]) -> None:
    there = [str(path) for path in files if path.exists()]
    if there:
        raise CommandFailed(f"there is already: {', '.join(there)}; nothing was written; choose another name")


def _write(files: dict[Path, str]) -> None:
    """Write all of them, or leave nothing behind."""
    made: list[Path] = []
    try:
        for path, text in files.items():
            for folder in reversed(path.parents):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w") as file:
                made.append(path)
                file.write(text)
    except BaseException as error:
        for one in reversed(made):
            with suppress(OSError):  # somebody may have put something there meanwhile
                one.rmdir() if one.is_dir() else one.unlink()
        if isinstance(error, OSError):
            raise CommandFailed(
                f"cannot write {path}: {error.strerror}; nothing was written; choose another folder"
            ) from error
        raise
