"""Links in documents lead to files that exist, and to headings that they have; every page is on the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.make_site import stage

ROOT = Path(__file__).parent.parent
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "examples").glob("*.md"),
    *(ROOT / "clients").glob("*/*.md"),
]
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"there is no {path}"
        assert not anchor or anchor in anchors(target), f"{target.name} has no heading #{anchor}"


def test_every_page_can_be_found_on_the_site(tmp_path: Path) -> None:
    stage(tmp_path)
    home = (tmp_path / "pages/index.md").read_text()
    assert "(how-to/add-a-job.md)" in home
    assert "(source/quart_app/channels/system.py.md)" in home
    assert (tmp_path / "pages/source/quart_app/channels/system.py.md").exists()
    assert '"decisions/001-holders-instead-of-leases.md"' in (tmp_path / "zensical.toml").read_text()


def test_the_figures_of_the_readme_are_those_that_were_measured() -> None:
    costs = (ROOT / "README.md").read_text().partition("## What it costs")[2].partition("## ")[0]
    measured = set(re.findall(r"[\d.,]*\d", (ROOT / "docs/reference/performance.md").read_text()))
    rows = [row for row in costs.splitlines() if row.startswith("| ")][1:]
    figures = {figure for row in rows for figure in re.findall(r"\d+\.\d+|\d+(?= a second)", row.partition("|")[2])}
    assert len(figures) > 12
    assert figures <= measured


def test_pictures_are_small() -> None:
    pictures = [*(ROOT / "docs/img").glob("*.png"), *(ROOT / "docs/img").glob("*.svg")]
    assert pictures
    assert sum(picture.stat().st_size for picture in pictures) < 300_000
