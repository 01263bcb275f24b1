"""The failure table of docs/explanation/delivery.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"`(test_\w+)`")


def test_every_row_of_the_failure_table_names_a_test_that_exists() -> None:
    text = (ROOT / "docs/explanation/delivery.md").read_text()
    table = text[text.index("## When something fails") : text.index("## What is not promised")]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith(("| **", "| fault"))]
    assert len(rows) > 30
    written = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    for row in rows:
        assert NAME.findall(row), row
        assert set(NAME.findall(row)) <= written, row
