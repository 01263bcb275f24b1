"""What is in the wheel: every file of the packages that pyproject.toml lists, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
PLACES = {path: Path(path).name for path in BUILD["packages"]} | BUILD.get("force-include", {})
"""What goes in, and where the wheel has it."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built by what builds it everywhere. Nothing is installed or downloaded."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def files(source: str, place: str) -> set[str]:
    """The files of a package that belong to it, by where the wheel has them."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", source]
    found = set()
    for path in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split():
        inside, there = str(Path(place) / Path(path).relative_to(source)), (ROOT / path).resolve()
        if there.is_dir():  # a link to a folder elsewhere in the repository
            found |= files(str(there.relative_to(ROOT)), inside)
        elif there.exists():
            found.add(inside)
    return found


def test_it_has_every_file_of_its_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    name = f"{PROJECT['project']['name']}-{PROJECT['project']['version']}.dist-info"
    inside = {path for path in wheel.namelist() if not path.startswith(name)}
    assert inside == set().union(*(files(source, place) for source, place in PLACES.items()))
    about = {path.removeprefix(name) for path in wheel.namelist() if path.startswith(name)}
    assert about == {"/METADATA", "/WHEEL", "/RECORD", "/entry_points.txt", "/licenses/LICENSE"}


@pytest.mark.parametrize("package", [Path(path).name for path in BUILD["packages"]])
def test_each_package_says_that_it_is_typed(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_pages_and_what_they_load_are_in_it(wheel: zipfile.ZipFile) -> None:
    endings = {Path(path).suffix for path in wheel.namelist() if path.startswith("quart_app/web/")}
    assert {".html", ".css", ".js"} <= endings


def test_what_others_read_of_it_is_there(wheel: zipfile.ZipFile) -> None:
    (path,) = [path for path in wheel.namelist() if path.endswith("/METADATA")]
    about = BytesParser().parsebytes(wheel.read(path))
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    assert "embedded" in about.get_all("Provides-Extra", [])
    assert str(about.get_payload()).startswith("# busctl")
    assert wheel.getinfo(path).file_size < 100_000
