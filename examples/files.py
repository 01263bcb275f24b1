"""Where the examples find files to work on: below the folder that `EXAMPLE_FILES` names, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from busctl import Fail


def existing(name: str) -> Path:
    """The file of this name, as a client gave it.

    Args:
        name: a path below the folder of `EXAMPLE_FILES`; by default that is where the worker was started.

    Raises:
        Fail: it leads out of that folder, also through a link, or there is no such file.
    """
    root = Path(os.environ.get("EXAMPLE_FILES", ".")).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise Fail(f"there is no file {name!r} to work on; give a path below the folder of EXAMPLE_FILES")
    return path
