"""What documents show in fences: commands, programs, files and what comes of them.

A comment on the line before a fence says what is special about it, and is not shown to readers:

    <!-- not run: why -->        a block for a shell, or Python, that no test can run
    <!-- exit status 2 -->       what its last command ends with, where that is not 0
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.servers import BIN
from tests.cli.command import PLAIN, ended

TUTORIAL = sorted((Path(__file__).parents[1] / "docs/tutorial").glob("*.md"))
FENCE = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
FILE = re.compile(r"`([\w/]+\.py)`:\s*$")
"""How the paragraph before a block says that the block is that file."""
ASSIGNED = re.compile(r"[A-Z][A-Z0-9_]*=.*", re.DOTALL)
OPERATORS = frozenset("();<>|&")


@dataclass(frozen=True)
class Block:
    """One fence of a page.

    Args:
        language: as the fence names it: `sh`, `python`, nothing for what a command prints.
        file: the file that it is.
        shown: what the page says that it prints, line by line.
    """

    page: Path
    language: str
    text: str
    note: str
    file: str | None
    shown: tuple[str, ...]

    @property
    def not_run(self) -> str | None:
        """Why no test runs it, if none does."""
        return self.note.removeprefix("not run: ") if self.note.startswith("not run: ") else None

    @property
    def exit_status(self) -> int:
        """What its last command ends with."""
        return int(self.note.removeprefix("exit status ")) if self.note.startswith("exit status ") else 0


@dataclass(frozen=True)
class Command:
    """One line for a shell.

    Args:
        words: the program and its arguments, when it needs no shell; else None.
        assigned: variables that are set before it, or by it alone.
    """

    line: str
    words: tuple[str, ...] | None
    assigned: tuple[tuple[str, str], ...]
    exported: bool


def blocks(page: Path) -> Iterator[Block]:
    """The fences of a page, in order."""
    text = page.read_text()
    found = list(FENCE.finditer(text))
    for fence, following in zip(found, [*found[1:], None], strict=True):
        file = FILE.search(text[: fence.start()])
        adjoins = following is not None and not text[fence.end() : following.start()].strip()
        shown = following["text"].splitlines() if following and adjoins and not following["language"] else ()
        note = fence["note"] or ""
        yield Block(page, fence["language"], fence["text"], note, file[1] if file else None, tuple(shown))


def tutorials_project(folder: Path) -> Path:
    """The project that the tutorial has its reader make in a folder, with every file that it has them write."""
    done = ended([BIN / "busctl", "new", "project", "shop"], os.environ | PLAIN, cwd=folder)
    assert done.returncode == 0, done.stderr
    for block in (block for page in TUTORIAL for block in blocks(page) if block.file):
        (folder / "shop" / str(block.file)).write_text(block.text)
    return folder / "shop"


def commands(block: Block) -> Iterator[Command]:
    """The lines of a block for a shell; one that goes on in the next is one."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        exported = words[:1] == ["export"]
        words = words[exported:]
        count = next((at for at, word in enumerate(words) if not ASSIGNED.fullmatch(word)), len(words))
        assigned = tuple((name, value) for name, _, value in (word.partition("=") for word in words[:count]))
        needs_shell = "$" in line or any(set(word) <= OPERATORS for word in words if word)
        rest = tuple(word.removeprefix(".venv/bin/") for word in words[count:])
        yield Command(line, None if needs_shell else rest, assigned, exported or not rest)
