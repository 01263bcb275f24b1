"""The modules that BUS_JOBS and BUS_CHANNELS name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bus import Settings, SettingsError
from quart_app.channel_set import our_channels
from quart_app.channels.system import SystemChannel
from quart_app.errors import ChannelDefinitionError
from tests import own_project
from workers.errors import JobDefinitionError
from workers.own_code import directories
from workers.registry import discover

DERIVED = """
from busctl import SystemChannel, channel


@channel("/ws/system", name="system")
class Ours(SystemChannel):
    \"\"\"Does a little more.\"\"\"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, which is not on Python's path, with the project in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("own_shop")]:
        monkeypatch.delitem(sys.modules, name)
    yield own_project.write(tmp_path).parent
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("own_shop")]:
        del sys.modules[name]


@pytest.mark.parametrize("named", ["own_shop.jobs", "own_shop"])
def test_a_module_or_all_modules_of_a_package_are_found_in_the_current_directory(folder: Path, named: str) -> None:
    (folder / "own_shop" / "__main__.py").write_text("raise SystemExit('this was run')")
    assert "shout" in discover(modules=[named])


def test_a_lone_module_is_found_too(folder: Path) -> None:
    (folder / "own_shop_alone.py").write_text(own_project.JOBS)
    assert "shout" in discover(modules=["own_shop_alone"])


def test_nothing_in_the_current_directory_hides_another_module(folder: Path) -> None:
    (folder / "json.py").write_text("raise RuntimeError('this is not json')")
    (folder / "workers.py").write_text("raise RuntimeError('this is not workers')")
    assert "shout" in discover(modules=["own_shop.jobs"])


def test_what_is_not_there_is_named_with_where_it_was_looked_for(folder: Path) -> None:
    for missing, named in (("own_shop_else", "own_shop_else.jobs"), ("own_shop.tasks", "own_shop.tasks")):
        with pytest.raises(JobDefinitionError) as refused:
            discover(modules=[named])
        assert str(refused.value) == (
            f"BUS_JOBS={named}: there is no module {missing}, neither installed nor in {folder}; start this in the "
            "folder that contains it, or install it"
        )


def test_one_that_cannot_be_imported_is_named_with_the_line(folder: Path) -> None:
    broken = folder / "own_shop" / "broken.py"
    broken.write_text("import json\nimport a_package_that_is_missing\n")
    with pytest.raises(JobDefinitionError, match=rf"own_shop.broken cannot be imported: .*{broken}, line 2"):
        discover(modules=["own_shop.broken"])


def test_one_without_a_job_or_a_channel_is_refused(folder: Path) -> None:
    with pytest.raises(JobDefinitionError, match="is neither a @job function nor a module with"):
        discover(modules=["own_shop.channels"])
    with pytest.raises(ChannelDefinitionError, match="is neither a @channel class nor a module"):
        our_channels(["own_shop.jobs"])


def test_channels_are_served_beside_ours(folder: Path) -> None:
    assert [channel.name for channel in our_channels(["own_shop.channels"])] == ["system", "echo"]


def test_a_channel_derived_from_ours_takes_its_place(folder: Path) -> None:
    (folder / "own_shop" / "derived.py").write_text(DERIVED)
    [channel] = our_channels(["own_shop.derived"])
    assert (channel.name, SystemChannel in channel.__mro__[1:]) == ("system", True)


def test_an_installed_package_brings_channels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    info = folder / "own_shop-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-shop\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[busctl.channels]\necho = own_shop.channels:Echo\n")
    assert [channel.name for channel in our_channels()] == ["system", "echo"]
    assert directories(Settings.load()) == [folder / "own_shop"]


def test_their_files_are_known_for_a_reload(folder: Path) -> None:
    (folder / "own_shop_alone.py").write_text(own_project.JOBS)
    settings = Settings.load(jobs="own_shop.jobs, own_shop_alone", channels="own_shop.channels", app="own_shop.app:app")
    assert directories(settings) == [folder / "own_shop", folder / "own_shop_alone.py"]
    assert directories(Settings.load()) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("jobs", "shop/jobs.py"),
        ("jobs", "shop.jobs shop.more"),
        ("channels", "shop..x"),
        ("app", "shop.app"),
        ("app", "a:b:c"),
    ],
)
def test_what_is_no_name_of_a_module_is_refused(setting: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"BUS_{setting.upper()}: "):
        Settings.load(**{setting: value})
