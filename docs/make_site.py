"""Make the documentation site in `site/`: `make docs`, or `.venv-docs/bin/python docs/make_site.py`.

The pages are those of the repository, which links between files as they lie there. So they are first copied to `.site/`
as the site has them: with links between pages, and with a page for each source file that is linked to. Anything that is
amiss fails: a link that leads nowhere, a page that no one can find, a page that loads something from another host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = Path(__file__).with_name("site.toml")
STAGED = ROOT / ".site"
BUILT = ROOT / "site"
HOME = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"} | {
    "examples/README.md": "examples.md"
}
"""Pages outside of `docs/`, and what they are called on the site."""
CLIENTS = "clients/*/README.md"
IMAGES = (".svg", ".png")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)#\s]+)")
LOADED = re.compile(r"""<(?:script|img|source|iframe)[^>]*\bsrc="?(?:https?:)?//|url\(["']?(?:https?:)?//|@import""")
STYLESHEET = re.compile(r"""<link(?=[^>]*rel="?(?:stylesheet|preconnect|preload))[^>]*href="?(?:https?:)?//""")


class Site:
    """The pages as the site has them, and where each file of the repository is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pages = [*ROOT.glob("docs/*/*.md"), *ROOT.glob(CLIENTS), *(ROOT / path for path in HOME)]
        self.pages = {page: self.place(page) for page in pages}
        self.sources: dict[Path, Path] = {}

    def place(self, file: Path) -> Path:
        """Where a file of the repository is below the site's pages."""
        name = str(file.relative_to(ROOT))
        if name in HOME:
            return Path(HOME[name])
        if file.match(CLIENTS):
            return Path("clients", f"{file.parent.name}.md")
        if name.startswith("docs/") and file.suffix in (".md", *IMAGES):
            return Path(name).relative_to("docs")
        return Path("source", f"{name}.md")

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Where each page is, and what it says: first those of the repository, then those that they link to."""
        for page, place in self.pages.items():
            yield place, self.rewritten(page, place)
        while self.sources:
            source, place = self.sources.popitem()
            self.pages[source] = place
            yield place, self.rewritten_listing(source, place) if source.is_dir() else shown(source)

    def rewritten(self, page: Path, place: Path) -> str:
        """A page with the links that it needs on the site."""

        def target(link: re.Match[str]) -> str:
            return self.link((page.parent / link[1]).resolve(), place)

        parts = FENCE.split(page.read_text())
        return "".join(part if part.startswith("```") else LINK.sub(target, part) for part in parts)

    def rewritten_listing(self, folder: Path, place: Path) -> str:
        """A page that lists the files of a folder."""
        files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != "__init__.py")
        lines = [f"* [{file.name}]({self.link(file, place)})" for file in files]
        return "\n".join([f"# {folder.relative_to(ROOT)}/", "", *lines, ""])

    def link(self, file: Path, place: Path) -> str:
        """A link from a page of the site to a file of the repository, which gets a page if it has none."""
        if not file.exists():
            raise SystemExit(f"{place} links to {file}, which is not there")
        found = self.place(file)
        if file.suffix in IMAGES:
            (self.folder / found).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, self.folder / found)
        elif file not in self.pages:
            self.sources[file] = found
        return os.path.relpath(found, place.parent)


def shown(file: Path) -> str:
    """A page that shows a source file."""
    language = LANGUAGES.get(file.suffix, "text")
    return f"# {file.relative_to(ROOT)}\n\n````{language}\n{file.read_text()}\n````\n"


def title(page: Path) -> str:
    """The heading of a page, with which a decision is listed by number and name."""
    return page.read_text().partition("\n")[0].removeprefix("# ")


def stage(folder: Path) -> None:
    """Write the pages, and the configuration beside them, to an empty folder.

    Raises:
        SystemExit: a link leads nowhere, or a page is not in the navigation.
    """
    site = Site(folder / "pages")
    for place, text in site.texts():
        target = site.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    nav = tomllib.loads(CONFIG.read_text())["project"]["nav"]
    for section, pattern in {"Clients": CLIENTS, "Decisions": "docs/decisions/*.md"}.items():
        nav.append({section: [{title(page): str(site.place(page))} for page in sorted(ROOT.glob(pattern))]})
    listed = set(re.findall(r'"([\w/.-]+\.md)"', json.dumps(nav)))
    if lost := {str(site.place(page)) for page in site.pages if site.pages[page].parts[0] != "source"} - listed:
        raise SystemExit(f"nobody can find {', '.join(sorted(lost))}: name them in {CONFIG.relative_to(ROOT)}")
    text = re.sub(r"^nav = \[.*?^\]$", lambda _: f"nav = {as_toml(nav)}", CONFIG.read_text(), flags=re.M | re.S)
    (folder / "zensical.toml").write_text(text)


def as_toml(value: object) -> str:
    """Lists, tables and texts as TOML has them in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def foreign(folder: Path) -> list[str]:
    """Built pages that load something from another host."""
    pages = [*folder.rglob("*.html"), *folder.rglob("*.css")]
    return [str(page) for page in pages if LOADED.search(text := page.read_text()) or STYLESHEET.search(text)]


def main() -> str | None:
    """Make the site, or return what is wrong with it."""
    shutil.rmtree(STAGED, ignore_errors=True)
    stage(STAGED)
    command = [Path(sys.executable).with_name("zensical"), "build", "--clean", "--strict"]
    if subprocess.run(command, cwd=STAGED, check=False).returncode:
        return "the site has the faults that are named above"
    if found := foreign(STAGED / "site"):
        return f"these load something from another host: {', '.join(found)}"
    shutil.rmtree(BUILT, ignore_errors=True)
    shutil.move(STAGED / "site", BUILT)
    print(f"look at it: python -m http.server --bind 127.0.0.1 --directory {BUILT.name} 8001")
    return None


if __name__ == "__main__":
    sys.exit(main())
