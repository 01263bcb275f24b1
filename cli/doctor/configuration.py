"""The settings of this shell, and what is installed here."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from bus import Settings
from cli.doctor.check import Check, bad, good, unsure

SETTINGS, PACKAGES = "settings", "packages"
OLDEST_PYTHON = (3, 11)


def check_settings() -> Iterator[Check]:
    """Whether a variable is misspelt. That their values can be used is known before."""
    if unknown := Settings.unknown():
        yield unsure(
            SETTINGS,
            f"these variables are no settings of busctl: {', '.join(unknown)}",
            "correct their names, or unset them; docs/reference/settings.md has all",
        )
    else:
        yield good(SETTINGS, "every variable is one, with a value that can be used")


def check_packages() -> Iterator[Check]:
    """Whether Python and the packages are those that busctl asks for."""
    if sys.version_info < OLDEST_PYTHON:
        yield bad(PACKAGES, f"this is Python {platform.python_version()}", "run busctl on Python 3.11 or newer")
        return
    if wrong := list(_misfits()):
        yield bad(PACKAGES, "; ".join(wrong), "install what requirements.lock pins: pip install -r requirements.lock")
    else:
        yield good(PACKAGES, f"busctl {version('busctl')} on Python {platform.python_version()}, with what it needs")


def _misfits() -> Iterator[str]:
    from packaging.requirements import Requirement  # here, since nothing else needs it

    for line in requires("busctl") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement.name} is not installed"
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield f"{requirement.name} is {found}, needed is {requirement.specifier}"
