"""Names of hosts that can be looked up at all."""

from __future__ import annotations


def require(host: str) -> None:
    """See that a name can be looked up, of which an address is one. Looking up another fails, and not as an `OSError`.

    Raises:
        ValueError: a part of it between two dots is empty or too long, or cannot be written in ASCII (IDNA).
    """
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("the name of its host is none: each part between dots has 1 to 63 characters") from None
