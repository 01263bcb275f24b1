"""The address of a server, as people write it."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

PATH = "/ws/system"
SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def websocket_url(url: str) -> str:
    """The WebSocket that an address means: `https://jobs.example` is `wss://jobs.example/ws/system`.

    Raises:
        ValueError: it is no such address.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in SCHEMES and parts.hostname and parts.port != 0 and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{url!r} is no address such as https://jobs.example or ws://127.0.0.1:8000/ws/system")
    if parts.username is not None:
        raise ValueError("an address has no user or password: give a token")
    path = parts.path if parts.path not in ("", "/") else PATH
    return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))
