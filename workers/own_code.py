"""The code of a project of one's own: the modules that settings and entry points name."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from bus import Settings

JOBS = "busctl.jobs"
CHANNELS = "busctl.channels"
"""Entry point groups in which an installed package names what it brings: a module, a package, or a thing in one."""

T = TypeVar("T")


def named(variable: str, names: Iterable[str], group: str, error: type[Exception]) -> Iterator[tuple[str, list[Any]]]:
    """What a setting names, then what installed packages name: where it is named, and the thing, or the modules.

    A package stands for itself and the modules in it. Modules are looked for as Python does, and then in the current
    directory, where the code of a project lies that is not installed.

    Args:
        variable: the setting, for errors.
        names: the modules that it names.
        group: of entry points.
        error: what is raised.

    Raises:
        Exception: an `error`, for a module that there is not, or that cannot be imported.
    """
    for name in names:
        source = f"{variable}={name}"
        yield source, _with_modules(module(source, name, error), error)
    for entry in entry_points(group=group):
        source = f"entry point {entry.name} = {entry.value}"
        yield source, _with_modules(imported(source, entry.load, error), error)


def imported(what: str, load: Callable[[], T], error: type[Exception]) -> T:
    """What `load` imports.

    Args:
        what: is imported, for the error's text.
        load: imports it.
        error: what is raised.

    Raises:
        Exception: an `error` that says in one line why it cannot be imported, and where.
    """
    try:
        return load()
    except error:
        raise
    except Exception as problem:
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        where = traceback.extract_tb(problem.__traceback__)[-1]
        place = "" if where.filename.startswith("<") else f" ({where.filename}, line {where.lineno})"
        raise error(f"{what} cannot be imported: {reason}{place}") from problem


def directories(settings: Settings) -> list[Path]:
    """Where the code is that settings and entry points name: the outermost packages, or the file of a lone module."""
    names = [*settings.jobs, *settings.channels, *([settings.app.partition(":")[0]] if settings.app else ())]
    names += [entry.module for group in (JOBS, CHANNELS) for entry in entry_points(group=group)]
    if names:
        _look_here_too()
    found: dict[Path, None] = {}
    for outermost in dict.fromkeys(name.partition(".")[0] for name in names):
        spec = find_spec(outermost)
        if spec is not None and spec.submodule_search_locations is not None:
            found |= dict.fromkeys(map(Path, spec.submodule_search_locations))
        elif spec is not None and spec.origin is not None:
            found[Path(spec.origin)] = None
    return list(found)


def module(source: str, name: str, error: type[Exception]) -> ModuleType:
    """The module of a name, which is looked for as Python does, and then in the current directory.

    Args:
        source: the setting that names it, for the error's text.
        name: of the module.
        error: what is raised.

    Raises:
        Exception: an `error`: there is none of that name, or it cannot be imported.
    """
    _look_here_too()
    try:
        return imported(source, partial(importlib.import_module, name), error)
    except error as problem:
        missing = problem.__cause__
        if isinstance(missing, ModuleNotFoundError) and missing.name and f"{name}.".startswith(f"{missing.name}."):
            raise error(
                f"{source}: there is no module {missing.name}, neither installed nor in {os.getcwd()}; start this in "
                "the folder that contains it, or install it"
            ) from None
        raise


def _with_modules(target: Any, error: type[Exception]) -> list[Any]:
    if not isinstance(target, ModuleType):
        return [target]
    inside = pkgutil.iter_modules(getattr(target, "__path__", ()), f"{target.__name__}.")
    names = [module.name for module in inside if not module.name.endswith(".__main__")]
    return [target, *(imported(name, partial(importlib.import_module, name), error) for name in names)]


def _look_here_too() -> None:
    """Have Python look for modules in the current directory, last: no file that happens to lie there hides another."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
