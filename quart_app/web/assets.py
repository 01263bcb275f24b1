"""The pages' scripts and styles: a browser asks for all of them at once, and for each only once.

There is no build and no bundle: what is served is the source. But a page names every module that its script imports, of
which a browser would learn only by reading another, and addresses have a version, so that nothing is asked for again.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from pathlib import Path

from quart import Quart, Response, url_for
from werkzeug.exceptions import NotFound

FOR_EVER = "public, max-age=31536000, immutable"
"""Cache-Control of what never changes (RFC 8246)."""
VERSION_LENGTH = 12
IMPORT = re.compile(r'^(?:import|export)\s(?:[\w\s{},*]+\sfrom\s)?"(\.[^"]+)";', re.MULTILINE)
"""Another module of ours, as an `import` or `export … from` at the beginning of a line names it."""


class Assets:
    """The files of a folder, read once: what they import, and a version that any change of any of them changes.

    Args:
        folder: with links to other folders, which are followed.
    """

    def __init__(self, folder: Path) -> None:
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)}
        version = hashlib.sha256()
        for name in sorted(files):
            version.update(b"%s\0%d\0%s" % (name.encode(), len(files[name]), files[name]))
        self.version = version.hexdigest()[:VERSION_LENGTH]
        self.names = frozenset(files)
        self._imports = {
            name: [posixpath.normpath(posixpath.join(name, "..", to)) for to in IMPORT.findall(text.decode())]
            for name, text in files.items()
            if name.endswith(".js")
        }

    def modules(self, name: str) -> list[str]:
        """What a module imports, and what that imports in its turn: each once, the nearest first, without itself."""
        found = [name]
        for module in found:
            found.extend(dict.fromkeys(to for to in self._imports[module] if to not in found))
        return found[1:]


def _files(folder: Path) -> list[Path]:
    return [Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names]


def serve_assets(app: Quart) -> None:
    """Serve an application's static files also at addresses with their version, which templates get by `asset(name)`.
    `modules(name)` are those of all that a script imports.

    While processes of two versions answer, a page of one may ask the other: it gets what is there, not to keep.

    Args:
        app: with a static folder.
    """
    assets = Assets(Path(str(app.static_folder)))

    async def static(filename: str) -> Response:
        name = posixpath.normpath(filename)
        if name not in assets.names:  # nothing else is looked for: there are names that no file system takes
            raise NotFound
        return await app.send_static_file(name)

    @app.get(f"{app.static_url_path}/at-<string(length={VERSION_LENGTH}):version>/<path:name>")
    async def asset(version: str, name: str) -> Response:
        response = await static(name)
        response.headers["Cache-Control"] = FOR_EVER if version == assets.version else "no-cache"
        return response

    app.view_functions["static"] = static

    def address(name: str) -> str:
        return url_for("asset", version=assets.version, name=name)

    app.jinja_env.globals["asset"] = address
    app.jinja_env.globals["modules"] = lambda name: [address(module) for module in assets.modules(name)]
