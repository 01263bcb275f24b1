"""Every block of README, tutorial and how-tos does what it says: run on one system, page by page, in their order.

What never ends by itself (`busctl dev`, `serve`, `worker`) is not run, but its options are read as it would read them.
What cannot be run says why, in a comment before it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cli.commands
from bus import Settings
from testbed.servers import BIN, Web
from testbed.system import System, running
from tests.cli.command import DEADLINE, PLAIN, ended, from_nothing
from tests.document_blocks import TUTORIAL, Block, Command, blocks, commands, tutorials_project
from workers import calling

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "examples/README.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]
ELSEWHERE = {
    "docs/how-to/http.md": "tests/quart_app/http/test_jobs.py",
    "docs/how-to/add-a-job.md": "tests/test_add_a_job.py",
    "docs/how-to/schedule-a-job.md": "tests/test_add_a_job.py",
    "docs/how-to/test-a-job.md": "tests/test_add_a_job.py",
}
"""Pages that another test does word for word."""
ENDLESS = ("dev", "serve", "worker", "watch", "top")
ADDRESS = "127.0.0.1:8000"
EXAMPLES = ("examples.chat", "examples.resize", "examples.import_csv")
SECRET = "0" * 32


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of who has followed the tutorial to its end."""
    return tutorials_project(tmp_path_factory.mktemp("followed"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of who has a copy of this repository."""
    folder = tmp_path_factory.mktemp("copy")
    for path in ROOT.iterdir():
        if path.name == ".git" or not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, shop: Path, copy: Path) -> Iterator[System]:
    """A system with the jobs of the tutorial and of the examples."""
    own = {"BUS_JOBS": ",".join(("shop.jobs", *EXAMPLES)), "PYTHONPATH": f"{shop}:{ROOT}"}
    with running(tmp_path_factory.mktemp("system"), **own) as system:
        system.worker(EXAMPLE_FILES=str(copy / "files"))
        yield system


@pytest.fixture(scope="module")
def web(followed: System) -> Web:
    return followed.web(BUS_CHANNELS="shop.channels", BUS_APP="shop.app:app")


class Reader:
    """Somebody who types what a page shows, in a folder.

    Args:
        web: what the page has at port 8000.
    """

    def __init__(self, system: System, web: Web, folder: Path) -> None:
        self.web, self.folder = web, folder
        self.env = os.environ | PLAIN | system.env | {"PATH": f"{BIN}:{os.environ['PATH']}"}
        self.env |= {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_PLUGINS": "pytest_asyncio.plugin",
        }  # no more than needed
        self.names: dict[str, Any] = {"__name__": "page"}

    def follow(self, block: Block) -> None:
        if block.file:
            (self.folder / block.file).write_text(block.text)
            return
        if block.language == "python":
            self.execute(block)
            return
        printed, status = "", 0
        for command in commands(block):
            assert status == 0, printed
            printed, status = self.type(command)
        assert status == block.exit_status, printed
        require_printed(block.shown, printed)

    def type(self, command: Command) -> tuple[str, int]:
        """Type a line. What it prints, and its exit status."""
        known = {Settings.variable(field) for field in Settings.model_fields}
        assert {name for name, _ in command.assigned if name.startswith("BUS_")} <= known
        if command.exported and command.words is not None:
            # The system has the jobs and channels of all pages; what a page sets besides counts from here on.
            self.env |= {
                name: value for name, value in command.assigned if name not in ("BUS_JOBS", "NATS_URL", "REDIS_URL")
            }
            return "", 0
        program, *arguments = command.words or ("bash",)
        if program == "cd":
            self.folder /= arguments[0]
            return "", 0
        if program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert {argument for argument in arguments if "=" not in argument} <= set(targets)
            return "", 0
        if program == "busctl":
            options_are_good(arguments)
            if arguments[0] in ENDLESS:
                return "", 0
            secret = {"BUS_AUTH": "jwt", "BUS_AUTH_SECRET": SECRET} if arguments[0] == "token" else {}
            done = ended([BIN / "busctl", *hurried(arguments)], self.env | secret, cwd=self.folder)
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command.line.replace(".venv/bin/", "")],
                env=self.env,
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
        return done.stdout + done.stderr, done.returncode

    def execute(self, block: Block) -> None:
        """Run a program, with what the page's earlier ones have left."""
        source = block.text.replace(ADDRESS, f"127.0.0.1:{self.web.port}")
        code = compile(source, name(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if inspect.CO_COROUTINE & code.co_flags:
            asyncio.run(eval(code, self.names))  # noqa: S307
        else:
            exec(code, self.names)  # noqa: S102


def require_printed(shown: Iterable[str], printed: str) -> None:
    """What a page shows is how lines of this begin, whatever the ids of jobs are. A terminal breaks lines where a pipe
    has none, so one that is shown may be the rest of the one before it."""
    lines = [compact(line) for line in printed.splitlines()]
    rest = ""
    for line in shown:
        found = next((one for one in (rest, *lines) if one.startswith(compact(line))), None)
        assert found is not None, f"no line begins with {line!r} in {printed}"
        rest = found.removeprefix(compact(line))


def compact(line: str) -> str:
    return "".join(re.sub(r"\b[0-9a-f]{16}\b", "ID", line).split())


def options_are_good(arguments: list[str]) -> None:
    """The command line understands these arguments."""
    cli.commands.command(arguments[0]).make_context(arguments[0], arguments[1:]).close()


def hurried(arguments: list[str]) -> list[str]:
    """The same without the pauses that are meant for people."""
    return [
        "0.1" if before == "--interval" else word for before, word in zip(["", *arguments], arguments, strict=False)
    ]


def follow(reader: Reader, pages: Iterable[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in reader.env.items():
        monkeypatch.setenv(variable, value)
    try:
        for block in (block for page in pages for block in blocks(page)):
            if block.language in ("sh", "python") and block.not_run is None:
                reader.follow(block)
    finally:
        calling.close()


def test_the_tutorial_works_word_for_word(
    tmp_path: Path, shop: Path, followed: System, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(shop))
    follow(Reader(followed, web, tmp_path), TUTORIAL, monkeypatch)
    written = {file.relative_to(shop): file.read_text() for file in shop.rglob("*.py")}
    assert written == {file: (tmp_path / "shop" / file).read_text() for file in written}


def test_the_tutorials_project_has_good_types_without_a_plugin(shop: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={os.devnull}", "."]
    checked = from_nothing(command, os.environ, cwd=shop)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if name(page) not in ELSEWHERE], ids=name)
def test_what_a_page_shows_works(
    page: Path, shop: Path, copy: Path, followed: System, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(shop))
    follow(Reader(followed, web, copy), [page], monkeypatch)


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_other_pages_have_a_test_of_their_own(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text() or "{add,schedule,test}-a-job.md" in (ROOT / test).read_text()


@pytest.mark.parametrize("page", [*PAGES, *TUTORIAL], ids=name)
def test_what_is_not_run_says_why(page: Path) -> None:
    for block in blocks(page):
        if block.note:
            assert block.not_run or block.exit_status, f"{block.note!r} means nothing"
        if block.not_run is not None:
            assert len(block.not_run.split()) >= 3
    unmarked = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"^    (busctl|@job|from|import|make) ", unmarked, re.MULTILINE), "a block without a fence"
