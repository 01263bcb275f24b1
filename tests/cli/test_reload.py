"""Which source files have changed."""

from __future__ import annotations

import os
from pathlib import Path

from cli.reload import Sources


def test_written_added_and_removed_files_are_told_once(tmp_path: Path) -> None:
    page, style, notes = tmp_path / "pages" / "page.html", tmp_path / "style.css", tmp_path / "notes.txt"
    page.parent.mkdir()
    page.touch()
    style.touch()
    sources = Sources([tmp_path])
    assert sources.changed() == []

    os.utime(page, ns=(0, 0))
    style.unlink()
    notes.touch()
    script = tmp_path / "script.js"
    script.touch()
    assert sources.changed() == [page, script, style]
    assert sources.changed() == []
