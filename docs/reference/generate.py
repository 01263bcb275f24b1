"""Write the reference pages that are made from the code: `python docs/reference/generate.py`.

With `--check`, only say whether they are up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic_core import PydanticUndefined

from bus import Settings

HERE = Path(__file__).parent


def settings_page() -> str:
    """Every environment variable, from `bus.Settings`."""
    lines = [
        "# Settings",
        "",
        "Every process reads these environment variables once, when it starts. A value that cannot be used stops it",
        "with one line that names the variable, and exit status 1. Times are seconds and sizes are bytes, as plain",
        "numbers without unit. White space around a value is not part of it; quotes around one are refused. A variable",
        "that begins with `BUS_` and is none of these is warned about and changes nothing.",
        "",
        "Each value may also stand in a file: `BUS_SECRET_FILE=/run/secrets/bus_secret` is read when `BUS_SECRET`",
        "itself is not set, and so for every other variable. The file's last line break is not part of the value.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for field, info in Settings.model_fields.items():
        default = "" if info.default in (PydanticUndefined, ()) else f"`{info.default}`"
        lines.append(f"| `{Settings.variable(field)}` | {default} | {info.description} |")
    return "\n".join(lines) + "\n"


PAGES = {HERE / "settings.md": settings_page}


def main(arguments: list[str]) -> str | None:
    """Write the pages, or with `--check` return what is wrong with them."""
    for path, page in PAGES.items():
        if "--check" not in arguments:
            path.write_text(page())
        elif path.read_text() != page():
            return f"{path.name} is not what the code says; run python docs/reference/generate.py"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
