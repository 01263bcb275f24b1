"""The pages docs/how-to/{add,schedule,test}-a-job.md, done word for word in a package outside of this repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.system import System
from tests.cli.command import DEADLINE, busctl

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"


def blocks(page: str, language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", (HOW_TO / page).read_text(), re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages' package, installed; the folder in which Python finds it."""
    root = tmp_path_factory.mktemp("my_package")
    source = root / "source"
    (source / "my_package").mkdir(parents=True)
    (source / "my_package" / "__init__.py").touch()
    jobs = blocks("add-a-job.md", "python") + blocks("schedule-a-job.md", "python")
    (source / "my_package" / "jobs.py").write_text(jobs)
    (source / "test_jobs.py").write_text(blocks("test-a-job.md", "python"))
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "my_package"\nversion = "1"\n' + blocks("add-a-job.md", "toml")
    )
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", root / "site"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *install, source]
    subprocess.run(pip, check=True, timeout=DEADLINE)
    return root / "site"


def run(arguments: list[str], env: dict[str, str]) -> str:
    done = busctl(*arguments, **env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_jobs_run(package: Path, fresh: System) -> None:
    found = {"PYTHONPATH": str(package)}
    fresh.worker(**found)
    assert "HELLO!" in run(["submit", "shout", "hello", "--wait"], fresh.env | found)
    assert "sales until today" in run(["submit", "morning_report", "sales", "--wait"], fresh.env | found)
    commands = [shlex.split(line)[1:] for line in blocks("add-a-job.md", "sh").splitlines() if "--at" not in line]
    milk, green = [run(command, fresh.env | found) for command in commands if "--wait" in command]
    (later,) = [busctl(*command, **fresh.env | found) for command in commands if "--in" in command]
    assert json.loads(milk) == {"cents": 550, "text": "2 cups of black tea"}
    assert json.loads(green) == {"cents": 500, "text": "2 cups of green tea"}
    assert (later.returncode, "scheduled for" in later.stderr) == (0, True)


def test_the_tests_pass(package: Path) -> None:
    source = package.parent / "source"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert (done.returncode, "4 passed" in done.stdout) == (0, True), done.stdout


def test_the_file_can_be_imported_before_anything_else(package: Path) -> None:
    program = (
        "from my_package.jobs import shout; from workers.registry import discover; assert discover()['shout'] is shout"
    )
    subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(package)}, check=True, timeout=DEADLINE
    )
