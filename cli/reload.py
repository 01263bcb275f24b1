"""Which source files have changed since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = tuple(ROOT / name for name in ("bus", "workers", "quart_app"))
SUFFIXES = frozenset({".py", ".html", ".js", ".css"})


class Sources:
    """The source files of the packages that web and worker run.

    Args:
        directories: where to look, at any depth.
    """

    def __init__(self, directories: Sequence[Path] = PACKAGES) -> None:
        self._directories = directories
        self._seen = self._look()

    def changed(self) -> list[Path]:
        """Files that were written, added or removed since the last call, or since the start."""
        before, self._seen = self._seen, self._look()
        paths = before.keys() | self._seen.keys()
        return sorted(path for path in paths if before.get(path) != self._seen.get(path))

    def _look(self) -> dict[Path, int]:
        seen = {}
        for directory in self._directories:
            for path in directory.rglob("*"):
                if path.suffix in SUFFIXES:
                    try:
                        seen[path] = path.stat().st_mtime_ns
                    except OSError:  # an editor is replacing it at this moment
                        continue
        return seen
