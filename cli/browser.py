"""Opening a page in the browser of who sits at this machine."""

from __future__ import annotations

import asyncio
import os
import webbrowser
from collections.abc import Callable


def open_page(url: str, tell: Callable[[str], None]) -> None:
    """Open a page, in a thread; the event loop goes on.

    Args:
        tell: called on the event loop when it cannot be opened, with what to say of it.
    """

    def end(opening: asyncio.Future[bool]) -> None:
        if not opening.cancelled() and not opening.result():
            tell(f"no browser could be opened here; the page is at {url}")

    asyncio.get_running_loop().run_in_executor(None, opened, url).add_done_callback(end)


def opened(url: str) -> bool:
    """Open a page in a browser with windows of its own, or in what $BROWSER names. False where there is none.

    A browser such as lynx would take the terminal for itself, and is none.
    """
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    in_terminal = type(browser) is webbrowser.GenericBrowser  # those with windows are of other classes
    return (not in_terminal or "BROWSER" in os.environ) and browser.open(url)
