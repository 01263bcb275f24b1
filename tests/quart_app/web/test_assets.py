"""What pages load, without a page: which modules a script needs, and when an address changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quart_app.web.assets import Assets

STATIC = Path(__file__).parents[3] / "quart_app/web/static"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "library").mkdir()
    (tmp_path / "page").mkdir()
    (tmp_path / "page/linked").symlink_to("../library", target_is_directory=True)
    (tmp_path / "page/main.js").write_text('import {\n  one,\n} from "./one.js";\nimport "./linked/two.js";\n')
    (tmp_path / "page/one.js").write_text('// import "./no.js";\nexport { x } from "./linked/two.js";\n')
    (tmp_path / "page/alone.js").write_text('export const text = "./no.js";\nimport("./main.js");\n')
    (tmp_path / "library/two.js").write_text('import * as main from "../main.js";\nexport const x = 1;\n')
    return tmp_path / "page"


def test_a_script_needs_what_it_imports_and_what_that_imports_each_once(folder: Path) -> None:
    assets = Assets(folder)
    assert assets.modules("main.js") == ["one.js", "linked/two.js"]
    assert assets.modules("one.js") == ["linked/two.js", "main.js"]
    assert assets.modules("alone.js") == []


def test_a_version_changes_with_any_file_and_with_nothing_else(folder: Path) -> None:
    version = Assets(folder).version
    assert Assets(folder).version == version
    two = folder / "linked/two.js"
    two.write_text(two.read_text() + "// another line\n")
    changed = Assets(folder).version
    (folder / "one.js").rename(folder / "three.js")
    assert len({version, changed, Assets(folder).version}) == 3


def test_every_import_of_our_scripts_is_found() -> None:
    """Whoever writes one in another way than `IMPORT` knows makes a page wait for it."""
    assets = Assets(STATIC)
    for path in (path for folder in ("", "client", "console", "asyncapi") for path in (STATIC / folder).glob("*.js")):
        named = set(re.findall(r'(?:from|import)\s*\(?\s*"\.[\w./]*?(\w+\.js)"', path.read_text()))
        assert named <= {Path(name).name for name in assets.modules(path.relative_to(STATIC).as_posix())}, path
