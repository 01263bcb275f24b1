"""The path below which this application is served."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

Asgi = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


class RootPath:
    """Serve an application below a path (`root_path` of the ASGI specification, HTTP connection scope).

    A proxy may remove that path from what it passes on, or leave it there, and ASGI servers differ in the same way:
    either is understood. Load balancers can therefore ask a process itself for `/livez`.

    Args:
        app: finds the path in `path` and, again, as `root_path`.
        root_path: begins with a slash and does not end with one; empty to take what the server says.
    """

    def __init__(self, app: Asgi, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        """Serve one ASGI scope."""
        if scope["type"] in ("http", "websocket"):
            root = self._root_path or scope.get("root_path", "").rstrip("/")
            path = scope["path"] or "/"  # Quart cannot take none, as of the target `?x`
            if root or scope.get("root_path") or not scope["path"]:
                scope = {**scope, "root_path": root, "path": _below(root, path)}
        return self._app(scope, receive, send)


def _below(root: str, path: str) -> str:
    if path == root:
        return path + "/"
    if path.startswith(root + "/") or not path.startswith("/"):
        return path
    return root + path
