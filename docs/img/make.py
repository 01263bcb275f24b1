"""Make the pictures of README from the real thing: `.venv/bin/python docs/img/make.py` (needs Chromium).

`page.png` is the page at `/system/` in a browser, `terminal.svg` what commands print in a terminal, both of one system
that this starts, with the jobs of the tutorial. Nothing is drawn by hand, and what is shown has happened.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shlex
import sys
import tempfile
from io import BytesIO, StringIO
from pathlib import Path

from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import NIGHT_OWLISH
from rich.text import Text

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from testbed.system import System, running  # noqa: E402
from tests.cli.command import busctl  # noqa: E402
from tests.document_blocks import tutorials_project  # noqa: E402
from tests.e2e.browser import chromium, expect, system_page  # noqa: E402

HERE = Path(__file__).parent
COLUMNS = 92
SIZE = {"width": 1180, "height": 900}
PROMPT = "[bold green]$[/] "
COMMANDS = (
    "busctl submit describe lamp --wait",
    "busctl submit pack product=lamp pieces=3 --wait",
    'busctl notify "Server restart in 5 minutes" --level warning --expires 10m',
    "busctl jobs --limit 4",
)
FONT_FACE = re.compile(r"@font-face \{\{.*?\}\}", re.DOTALL)


async def page(system: System) -> bytes:
    """The page, with jobs that are done and one that is writing, and an announcement: as PNG."""
    web = system.web()
    async with chromium() as browser, system_page(browser, f"{web.url}/system/", viewport=SIZE) as tab:
        await tab.submit("describe", "chair")
        await expect(tab.job("chair").locator(".badge")).to_have_text("Done")
        printed(COMMANDS[2], system)
        await expect(tab.notices.first).to_be_visible()
        await tab.submit("describe", "lamp")
        await expect(tab.job("lamp").locator(".job-text")).to_contain_text("It gives a warm")
        await tab.page.evaluate("window.scrollTo(0, 0)")
        return await tab.page.screenshot()


def printed(command: str, system: System) -> str:
    """What a command prints on a terminal, beside the bar that is gone at its end."""
    main, side = pty.openpty()
    env = {**system.env, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    done = busctl(*shlex.split(command)[1:], streams={"stdout": side}, **env)
    os.close(side)
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stderr}")
    with open(main, "rb") as terminal:
        return terminal.read1().decode().replace("\r\n", "\n")


def terminal(system: System) -> str:
    """What the commands print, one after the other, as SVG."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    for command in COMMANDS:
        console.print(PROMPT + command, highlight=False)
        console.print(Text.from_ansi(printed(command, system).rstrip("\n")), "", sep="\n")
    # Rich's own format loads a font from another host; the reader's monospace font does as well.
    form = FONT_FACE.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code, monospace", "ui-monospace, monospace")
    return console.export_svg(title="busctl", theme=NIGHT_OWLISH, code_format=form, unique_id="terminal")


def few_colours(png: bytes) -> bytes:
    """The same picture in a palette of 128 colours, which is a third of the size."""
    out = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def main() -> None:
    """Start a system, use it, and write the pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = {"BUS_JOBS": "shop.jobs", "BUS_EXAMPLE_JOBS": "false", "BUS_JOB_DELAY_SCALE": "1"}
        own["PYTHONPATH"] = str(tutorials_project(folder))
        with running(folder, **own) as system:
            system.worker()
            write_pictures(system)


def write_pictures(system: System) -> None:
    """Use a system, and write what can be seen then."""
    (HERE / "page.png").write_bytes(few_colours(asyncio.run(page(system))))
    (HERE / "terminal.svg").write_text(terminal(system))
    for path in sorted([*HERE.glob("*.png"), *HERE.glob("*.svg")]):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
