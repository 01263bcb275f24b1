"""Which source files have changed since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = tuple(ROOT / name for name in ("bus", "workers", "quart_app"))
SUFFIXES = frozenset({".py", ".html", ".js", ".css"})


class Sources:
    """The source files of what web and worker run.

    Args:
        places: directories, in which it looks at any depth, and files.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._seen = self._look()

    def changed(self) -> list[Path]:
        """Files that were written, added or removed since the last call, or since the start."""
        before, self._seen = self._seen, self._look()
        paths = before.keys() | self._seen.keys()
        return sorted(path for path in paths if before.get(path) != self._seen.get(path))

    def _look(self) -> dict[Path, int]:
        seen = {}
        for place in self._places:
            for path in (place,) if place.is_file() else place.rglob("*"):
                if path.suffix in SUFFIXES:
                    try:
                        seen[path] = path.stat().st_mtime_ns
                    except OSError:  # an editor is replacing it at this moment
                        continue
        return seen


def short(path: Path) -> str:
    """A path as people know it: below the current directory or ours."""
    for place in (Path.cwd(), ROOT):
        if path.is_relative_to(place):
            return str(path.relative_to(place))
    return str(path)
